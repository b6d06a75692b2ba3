"""A program's source as a file that runs by itself, with torch alone."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch._ops import OpOverload

from distbp.errors import RequestError
from distbp.explain.drawn import batch, fixed, parameter
from distbp.explain.table import is_parameter
from distbp.program.instruction import Instruction, Opaque
from distbp.program.program import Passes, Program

MAIN = """

if __name__ == "__main__":"""
RUN = """\
    arena = torch.empty({size}, dtype=torch.uint8)
    forward, backward = passes(arena, states, list(gradients.values()), constants)
    forward(inputs, torch.Generator("{device}").manual_seed(0))
    loss_sum, count, outputs, moved, rows = backward(torch.ones((), dtype={dtype}), lambda name: None)
    print("loss", float(loss_sum) / (float(count) or 1))
    for name, gradient in gradients.items():
        print(name, float(gradient.norm()))"""
ROWS = """\
    for name, (numbers, gradient) in zip({names}, rows):
        print(name, numbers.numel(), "rows", float(gradient.norm()))"""


def standalone(program: Program, passes: Passes, batch_leaves: Sequence[Any], device: torch.device) -> str:
    """The source, and below it a main part that draws parameters and a batch, and runs both passes once.

    Raises RequestError for a program that calls something which is not torch's.
    """
    for i in (*passes.plan.prepared, *passes.trace.instructions):
        refuse_foreign(i)
    return "\n".join([passes.source.rstrip("\n"), MAIN, *main(program, passes, batch_leaves, device)])


def refuse_foreign(i: Instruction) -> None:
    """RequestError for an instruction that torch alone cannot execute."""
    foreign = isinstance(i.op, Opaque) or (isinstance(i.op, OpOverload) and i.op.namespace != "aten")
    if foreign:
        call = i.scope.call
        op, where = (i.op, "the program") if call is None else (call.op, call.where)
        shown = "without output=FILE the program is shown as it is"
        raise RequestError("explain", op, f"such a map, in {where}, has no source in torch; {shown}")


def main(program: Program, passes: Passes, leaves: Sequence[Any], device: torch.device) -> Iterator[str]:
    """The lines of the main part."""
    trace = passes.trace
    slots = {slot.name: slot for slot in program.graph.slots.values()}
    if device.type != "cpu":
        yield f'    torch.set_default_device("{device}")'
    yield "    torch.manual_seed(0)"
    states = []
    for operand, name in trace.states.items():
        drawn = is_parameter(slots[name]) and operand.meta.dtype.is_floating_point
        shape, dtype = tuple(operand.meta.shape), operand.meta.dtype
        states.append(f"{parameter(shape, dtype) if drawn else fixed(slots[name].read())},  # {name}")
    yield from display("states", states, "[]")
    yield from display("inputs", (f"{batch(leaf)}," for leaf in leaves), "[]")
    yield from display("constants", (f"{lying(c)},  # {o}" for o, c in trace.constants.items()), "[]")
    empty = ((name, tuple(o.meta.shape), o.meta.dtype) for o, name in trace.gradients.items())
    yield from display("gradients", (f'"{n}": torch.empty({s}, dtype={d}),' for n, s, d in empty), "{}")
    yield RUN.format(size=passes.plan.size, device=device, dtype=trace.d_loss.meta.dtype)
    if program.tables:
        yield ROWS.format(names=[name for name, *_ in trace.returned[-1]])


def display(name: str, items: Iterable[str], brackets: str) -> Iterator[str]:
    """A list or a dictionary, an item a line."""
    lines = [f"        {item}" for item in items]
    if not lines:
        yield f"    {name} = {brackets}"
        return
    yield f"    {name} = {brackets[0]}"
    yield from lines
    yield f"    {brackets[1]}"


def lying(constant: Tensor) -> str:
    """A constant, written, with the strides that the program knows it with."""
    made = fixed(constant)
    if constant.is_contiguous():
        return made
    shape, stride = tuple(constant.shape), tuple(constant.stride())
    return f"torch.empty_strided({shape}, {stride}, dtype={constant.dtype}).copy_({made})"
