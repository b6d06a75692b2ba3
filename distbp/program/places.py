"""Where every result lies: the plan of a program's memory, made before the first step.

Results whose primitive can write where it is told lie in one *arena*, which is kept from step to step; two of them
share a place if one is dead before the other begins. What torch insists on allocating itself stays with torch.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import torch
from torch._ops import OpOverload

from distbp.alignment import ALIGNMENT, round_up
from distbp.program.instruction import Instruction, Operand, Origin, is_random, operands
from distbp.program.primitives import ALLOCATIONS, can_be_told, out_of
from distbp.program.trace import Trace


@dataclass
class Places:
    """The plan. ``static`` operands are made once, before the first step; the others anew at every step."""

    static: set[Operand] = field(default_factory=set)
    prepared: list[Instruction] = field(default_factory=list)  # done once: views, and what follows from constants
    offsets: dict[Operand, int] = field(default_factory=dict)  # roots in the arena, in bytes
    size: int = 0
    over: dict[Operand, Operand] = field(default_factory=dict)  # a root that is written over a dying operand
    ends: dict[Instruction, tuple[Operand, ...]] = field(default_factory=dict)  # dead after it, and not static
    lives: dict[Operand, tuple[int, int]] = field(default_factory=dict)  # roots: first and last instruction


def places(trace: Trace) -> Places:
    """The plan of ``trace``, from whose instructions those that are done once are taken out."""
    plan = Places()
    _prepare(trace, plan)
    _live(trace, plan)
    arena = _write_over(trace, plan, set(_writable(trace, plan)))
    _pack(plan, arena)
    plan.static |= arena
    _views(trace, plan)
    _end(trace, plan)
    return plan


def _prepare(trace: Trace, plan: Places) -> None:
    """What is known before the first step: the module's own tensors, constants, and what follows from those."""
    plan.static = {*trace.constants}
    changed = {o.root for i in trace.instructions for o in i.changes()} | {o.root for o in trace.results()}

    def settled(i: Instruction) -> bool:
        plain = isinstance(i.op, OpOverload) and not i.changes() and not is_random(i.op) and not i.is_(*ALLOCATIONS)
        return plain and plan.static.issuperset(i.reads()) and changed.isdisjoint(o.root for o in i.gives())

    _once(trace, plan, settled)
    plan.static |= {*trace.states, *trace.gradients}


def _views(trace: Trace, plan: Places) -> None:
    """Views of what is static are made once."""
    results = trace.results()
    _once(trace, plan, lambda i: i.is_view() and plan.static.issuperset(i.reads()) and results.isdisjoint(i.gives()))


def _once(trace: Trace, plan: Places, when: Callable[[Instruction], bool]) -> None:
    """Take the instructions that give something, of which ``when`` holds, out of the steps: they are done once."""

    def stays(i: Instruction) -> bool:
        if not i.gives() or not when(i):
            return True
        plan.prepared.append(i)
        plan.static.update(i.gives())
        return False

    trace.keep(stays)


def _live(trace: Trace, plan: Places) -> None:
    """From which instruction to which each root is needed."""
    for number, i in enumerate(trace.instructions):
        for operand in i.touches():
            first, _ = plan.lives.get(operand.root, (number, number))
            plan.lives[operand.root] = first, number
    for operand in trace.results():
        first, _ = plan.lives.get(operand.root, (0, 0))
        plan.lives[operand.root] = first, len(trace.instructions)


def _writable(trace: Trace, plan: Places) -> Iterator[Operand]:
    """The roots that can lie where we say."""
    results = {o.root for o in trace.results()}
    for i in trace.instructions:
        made = i.makes()
        if not made or not results.isdisjoint(made) or not all(o.covers_root() for o in made):
            continue
        if any(o.place is not None for o in made):
            plan.static.update(made)
        elif can_be_told(i):
            yield from made


def _write_over(trace: Trace, plan: Places, arena: set[Operand]) -> set[Operand]:
    """Let element-wise primitives write over an operand that nobody reads after them. Returns the arena's roots."""
    results = {o.root for o in trace.results()}
    for number, i in enumerate(trace.instructions):
        if len(i.outputs) != 1 or i.outputs[0] not in arena or not _elementwise(i):
            continue
        (made,) = i.makes()
        for x in operands(i.args):
            dies = plan.lives.get(x.root, (0, -1))[1] == number and x.root.origin is Origin.MADE
            if (
                dies
                and x.root not in results
                and x.root.place is None
                and x.root not in plan.static
                and _same(x, made, i)
            ):
                plan.over[made] = x
                if x.root not in arena:
                    arena.discard(made)
                break
    return arena


def _elementwise(i: Instruction) -> bool:
    return (isinstance(i.op, OpOverload) and torch.Tag.pointwise in i.op.tags and out_of(i.op) is not None) and all(
        isinstance(a, Operand) or not any(operands(a)) for a in i.args
    )


def _same(x: Operand, made: Operand, i: Instruction) -> bool:
    """Whether ``made`` lies just as ``x`` does, and the instruction reads that memory in no other way."""
    a, b = x.meta, made.meta
    alike = a.shape == b.shape and a.stride() == b.stride() and a.dtype == b.dtype and a.device == b.device
    others = [o for o in i.reads() if o.root is x.root and o is not x]
    return alike and x.covers_root() and not others


def _pack(plan: Places, arena: set[Operand]) -> None:
    """Offsets: the largest first, each at the lowest place that is free as long as it lives."""
    head: dict[Operand, Operand] = {}
    lives: dict[Operand, tuple[int, int]] = {}
    for root in sorted((o for o in plan.lives if o in arena), key=lambda o: plan.lives[o]):  # a set has no order
        over = plan.over.get(root)
        head[root] = head[over.root] if over is not None else root
        first, last = lives.get(head[root], plan.lives[root])
        lives[head[root]] = min(first, plan.lives[root][0]), max(last, plan.lives[root][1])
    taken: list[tuple[int, int, int, int]] = []  # begin, end, first, last
    for root in sorted(lives, key=lambda o: (-o.bytes, lives[o])):
        first, last = lives[root]
        need, begin = round_up(root.bytes, ALIGNMENT), 0
        for b, e, _, _ in sorted(block for block in taken if block[2] <= last and first <= block[3]):
            if b - begin >= need:
                break
            begin = max(begin, e)
        taken.append((begin, begin + need, first, last))
        plan.offsets[root] = begin
        plan.size = max(plan.size, begin + need)
    plan.offsets.update({root: plan.offsets[first] for root, first in head.items()})


def _end(trace: Trace, plan: Places) -> None:
    """After which instruction each operand that is not static is dead."""
    results = trace.results()
    last: dict[Operand, Instruction] = {}
    seen: dict[Operand, None] = {}
    for i in trace.instructions:
        for operand in i.touches():
            if operand not in plan.static:
                seen[operand] = None
                last[operand] = i
    ends: dict[Instruction, list[Operand]] = {}
    for operand in seen:
        if operand not in results:
            ends.setdefault(last[operand], []).append(operand)
    plan.ends = {i: tuple(dead) for i, dead in ends.items()}
