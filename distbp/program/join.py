"""Has a gradient that is one matrix product added to what stands in its place while it is formed.

So nothing is written elsewhere and read again: a large weight's gradient takes little longer to add than to write.
"""

import math
from functools import cache

import torch

from distbp.program.instruction import Instruction, Operand
from distbp.program.primitives import aten
from distbp.program.simplify import begin_with
from distbp.program.trace import Like, Trace, like

TRIED = 4096  # elements at least


def join(trace: Trace) -> frozenset[str]:
    """``G = a b`` as ``G += a b`` wherever its bits are those of ``T = a b;  G += T``; the names of these gradients."""
    writers: dict[Operand, set[Instruction]] = {gradient: set() for gradient in trace.gradients}
    for root, touching in trace.touching().items():
        place = root.place or root
        if place in writers:
            writers[place].update(touching)
    joined = []
    for gradient, name in trace.gradients.items():
        first, *more = writers[gradient] or [None]
        if first is not None and not more and is_exact(first):
            begin_with(first)
            joined.append(name)
    return frozenset(joined)


def is_exact(product: Instruction) -> bool:
    """Whether an instruction is a matrix product that the library adds to something as if it stood already."""
    if not product.is_(aten.mm.default):
        return False
    a, b = (operand.meta for operand in product.args)
    return _rounds_once(like(a), like(b), torch.get_num_threads())


@cache
def _rounds_once(a: Like, b: Like, _threads: int) -> bool:
    """Whether ``G.addmm_(a, b)`` is ``G + a b`` to the bit, for operands that lie like this: a trial.

    Libraries multiply in blocks: where the inner length is that of one block they add to G once, where it is longer
    several times. What a kernel does depends on how its operands look, not on their numbers.
    """
    rows, columns = a[0][0], b[0][1]
    if 0 in (rows, columns, a[0][1]) or 0 in (*a[1], *b[1]):
        return False
    draw = torch.Generator().manual_seed(0)
    for _ in range(math.ceil(TRIED / (rows * columns))):
        left, right, before = (_drawn(look, draw) for look in (a, b, ((rows, columns), (columns, 1), *a[2:])))
        if not torch.equal(before + torch.mm(left, right), before.clone().addmm_(left, right)):
            return False
    return True


def _drawn(look: Like, draw: torch.Generator) -> torch.Tensor:
    shape, stride, dtype, device = look
    numbers = torch.randn(shape, generator=draw, dtype=torch.float64)
    return torch.empty_strided(shape, stride, dtype=dtype, device=device).copy_(numbers)
