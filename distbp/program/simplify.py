"""Leaves out of a trace what nobody reads, and has gradients formed where they travel from."""

from collections.abc import Iterator, Sequence
from typing import Any

from torch._ops import OpOverload

from distbp.program.instruction import Announcement, Instruction, Operand, Origin
from distbp.program.primitives import ADDS, ZEROS, aten, can_be_told
from distbp.program.trace import Trace


def simplified(trace: Trace) -> Trace:
    """``trace`` without what nobody reads, every gradient that can be formed in place formed in place."""
    _live(trace)
    _accumulate(trace)
    _forward(trace)
    _live(trace)
    return trace


def _live(trace: Trace) -> None:
    """Drop the instructions whose results are read by nobody."""
    used = trace.results()
    memory = {o.root for o in used} | set(trace.gradients)
    kept: set[Instruction] = set()
    for instruction in reversed(trace.instructions):
        wanted = isinstance(instruction.op, Announcement) or not used.isdisjoint(instruction.gives())
        if not instruction.is_view():
            written = (*instruction.makes(), *instruction.changes())
            wanted |= any(o.root in memory or o.root.place is not None for o in written)
        if wanted:
            used.update(instruction.reads())
            memory.update(o.root for o in instruction.reads())
            memory.difference_update(instruction.makes())
            kept.add(instruction)
    trace.keep(kept.__contains__)


def _accumulate(trace: Trace) -> None:
    """``T = a b;  G += T`` as ``G += a b``, and ``T = 0;  T[i] += x;  G += T`` as ``G[i] += x``."""
    for last, touching in _deliveries(trace, aten.add_.Tensor):
        gradient, term = last.args
        writers = [i for i in touching if not i.is_view() and i is not last]
        if _only_adds(writers, term.root):
            if writers[0].is_(aten.mm.default):
                begin_with(writers[0])
            else:
                trace.drop(writers[0])
            _take_place(term.root, gradient)
            trace.drop(last)


def _forward(trace: Trace) -> None:
    """``T = f(x);  G = T`` as ``f(x, out=G)``, where f can and nobody reads T later."""
    for last, touching in _deliveries(trace, aten.copy_.default):
        gradient, term = last.args
        first = touching[0]
        if can_be_told(first):
            _take_place(term.root, gradient)
            trace.drop(last)


def _deliveries(trace: Trace, op: OpOverload) -> Iterator[tuple[Instruction, list[Instruction]]]:
    """The instructions ``op(G, T)`` where T might lie in G, each with all that touch T's memory."""
    found = trace.touching()
    for last in [i for i in trace.instructions if i.is_(op) and i.args[0] in trace.gradients and not i.kwargs]:
        gradient, term = last.args
        left = {*trace.instructions}  # some may have been dropped since
        touching = [i for i in found[term.root] if i in left]
        if _replaceable(gradient, term, touching, last, trace):
            yield last, touching


def _only_adds(writers: Sequence[Instruction], root: Operand) -> bool:
    """Whether a root begins as zeros or as a matrix product, and is only added to after that."""
    first, *rest = writers
    begins = first.is_(*ZEROS) or first.is_(aten.mm.default)
    return begins and all(
        i.op in ADDS and i.args[0].root is root and "beta" not in i.kwargs
        and not any(o.root is root for o in _sources(i))
        for i in rest
    )  # fmt: skip


def _sources(instruction: Instruction) -> list[Operand]:
    return [o for o in instruction.reads() if o is not instruction.args[0]]


def begin_with(product: Instruction) -> None:
    """A matrix product as the beginning of a sum, on top of what the gradient holds."""
    (made,) = product.makes()
    product.op, product.args, product.outputs = aten.addmm_.default, (made, *product.args), (made,)
    product.several = False


def _replaceable(
    gradient: Operand, term: Operand, touching: Sequence[Instruction], last: Instruction, trace: Trace
) -> bool:
    """Whether the memory of ``term`` may be that of ``gradient``, of which it is a part only at the very end."""
    root = term.root
    if root.origin is not Origin.MADE or root in {o.root for o in trace.results()} or touching[-1] is not last:
        return False
    if not term.covers_root() or not root.covers_root() or _look(term) != _look(gradient):
        return False
    between = trace.instructions[trace.instructions.index(touching[0]) : trace.instructions.index(last)]
    return not any(o.root is gradient for i in between for o in i.reads())


def _look(operand: Operand) -> tuple[Any, ...]:
    """How its numbers lie and are held: those in the low precision cannot be formed in a float32 gradient."""
    return operand.meta.stride(), operand.meta.dtype


def _take_place(root: Operand, gradient: Operand) -> None:
    """From now on ``root`` lies in ``gradient``, and is called so if it looks the same."""
    root.place = gradient
    if root.meta.shape == gradient.meta.shape:
        root.name = gradient.name
