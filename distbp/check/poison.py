"""A program whose memory is spoilt wherever nobody may read it."""

import torch

from distbp.program.instruction import Instruction, Operand
from distbp.program.places import Places
from distbp.program.program import Passes, Program
from distbp.program.trace import Trace


class PoisonedProgram(Program):
    """After its last use, every place in the arena is filled with not-a-number, or with the largest integer."""

    def written(self, trace: Trace, plan: Places) -> Passes:
        """The two passes, with the poison among their instructions."""
        return super().written(poisoned(trace, plan), plan)


def poisoned(trace: Trace, plan: Places) -> Trace:
    """``trace`` with an instruction that fills each root of the arena after the last one that touches it."""
    last = {operand.root: number for number, i in enumerate(trace.instructions) for operand in i.touches()}
    kept = {x.root for x in plan.over.values()} | {o.root for o in trace.results()}
    dead: dict[int, list[Operand]] = {}
    for root in plan.offsets:
        if root not in kept:
            dead.setdefault(last[root], []).append(root)
    instructions: list[Instruction] = []
    turn = 0
    for number, instruction in enumerate(trace.instructions):
        instructions.append(instruction)
        instructions += [_poison(root, instruction) for root in dead.get(number, ())]
        if number + 1 == trace.turn:
            turn = len(instructions)
    return Trace(
        instructions, turn, trace.inputs, trace.states, trace.gradients, trace.constants, trace.d_loss, trace.returned
    )


def _poison(root: Operand, after: Instruction) -> Instruction:
    dtype = root.meta.dtype
    floating = dtype.is_floating_point or dtype.is_complex
    value = float("nan") if floating else 1 if dtype == torch.bool else torch.iinfo(dtype).max
    return Instruction(torch.ops.aten.fill_.Scalar, (root, value), {}, (root,), False, after.scope)
