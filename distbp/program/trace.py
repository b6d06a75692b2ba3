"""A trace: what a program executes, before anybody has asked where results lie."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from distbp.program.instruction import Instruction, Operand, operands, replaced

Like = tuple[Any, ...]  # (shape, stride, dtype, device)


@dataclass
class Trace:
    """What a program executes, before anybody has asked where results lie."""

    instructions: list[Instruction]
    turn: int  # so many of them are the forward pass
    inputs: list[Operand]
    states: dict[Operand, str]  # parameters and buffers, by name in the module
    gradients: dict[Operand, str]
    constants: dict[Operand, Tensor]
    d_loss: Operand
    returned: tuple[Any, Any, list[Any], dict[str, Any], list[tuple[str, Any, Any]]]
    """Operands: loss_sum, count, outputs (then the new state), changes of buffers, and of each look-up in a table row
    numbers and rows."""

    @property
    def down(self) -> list[Instruction]:
        """The forward pass."""
        return self.instructions[: self.turn]

    @property
    def up(self) -> list[Instruction]:
        """The backward pass."""
        return self.instructions[self.turn :]

    def keep(self, wanted: Callable[[Instruction], bool]) -> None:
        """Leave out the instructions that are not ``wanted``, of which each is asked once, in order."""
        down, up = ([i for i in part if wanted(i)] for part in (self.down, self.up))
        self.turn = len(down)
        self.instructions = [*down, *up]

    def drop(self, instruction: Instruction) -> None:
        """Leave out one instruction."""
        self.keep(lambda i: i is not instruction)

    def touching(self) -> dict[Operand, list[Instruction]]:
        """The instructions that touch each root's memory, in order."""
        found: dict[Operand, list[Instruction]] = {}
        for instruction in self.instructions:
            for root in {o.root for o in instruction.touches()}:
                found.setdefault(root, []).append(instruction)
        return found

    def results(self) -> set[Operand]:
        """The operands that outlive the program."""
        return set(operands(self.returned))


def turned(trace: Trace, promised: Operand, output: Operand, at: int) -> Trace:
    """``trace`` with what reads the output of the map at the turn moved behind it."""
    late: list[Instruction] = []
    tainted = {promised}
    for instruction in trace.down:
        if not tainted.isdisjoint(instruction.reads()):
            tainted.update(instruction.gives())
            late.append(instruction)
    early = [i for i in trace.down if i not in late]
    between = trace.instructions[trace.turn : at]
    assert not any(not tainted.isdisjoint(i.reads()) for i in between), "the turn comes too late"
    swap = lambda o: output if o is promised else o  # noqa: E731
    for instruction in late:
        instruction.args, instruction.kwargs = replaced((instruction.args, instruction.kwargs), swap)
    trace.instructions = [*early, *between, *late, *trace.instructions[at:]]
    trace.turn = len(early)
    trace.returned = replaced(trace.returned, swap)
    return trace


def like(tensor: Tensor) -> Like:
    """How a tensor looks, and lies in memory."""
    return tuple(tensor.shape), tuple(tensor.stride()), tensor.dtype, tensor.device


def contiguous(shape: Sequence[int]) -> tuple[int, ...]:
    """The strides of a contiguous tensor."""
    strides, step = [], 1
    for length in reversed(shape):
        strides.append(step)
        step *= max(length, 1)
    return tuple(reversed(strides))
