"""The table of a program's mappings: a row for each call of its graph."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass, fields
from math import prod

from distbp.columns import columns
from distbp.explain.flops import flops
from distbp.maps.base import Turn, equation
from distbp.program.graph import Call, Slot, Value
from distbp.program.instruction import Instruction
from distbp.program.program import Passes, Program
from distbp.program.text import shapes

WIDTH = 48  # of an equation
LEGEND = "saved: bytes that the mapping makes on the way down and the way up reads; bucket: that of its parameters"
TURNED = "a mapping that is done at the turn forms its output and its gradients at once: its FLOPs are those of both"


@dataclass(frozen=True)
class Row:
    """One call. ``parameters`` counts those that no earlier call reads, frozen ones too."""

    module: str  # its path; empty for the user's module itself
    name: str  # the module's class and the op
    equation: str
    shapes: str
    parameters: int
    flops: int
    saved: int
    bucket: str


def table(program: Program, passes: Passes, buckets: Mapping[str, int]) -> str:
    """The rows, their totals, and the size of the arena."""
    found = rows(program, passes, buckets)
    numbers = ([r.parameters for r in found], [r.flops for r in found], [r.saved for r in found])
    used = len(set(buckets.values()))
    total = ("total", "", "", "", *(f"{sum(column):,}" for column in numbers), f"{used} in all")
    head = ("module", "name", "equation", "shapes", "parameters", "FLOPs", "saved", "bucket")
    lines = [head, *map(written, found), total]
    notes = [LEGEND, *([TURNED] if any(map(is_turn, program.plan.rules.values())) else [])]
    right = [field.type is int or field.name == "bucket" for field in fields(Row)]
    return "\n".join([*columns(lines, right), *notes, f"the arena: {passes.plan.size:,} bytes, kept from step to step"])


def rows(program: Program, passes: Passes, buckets: Mapping[str, int]) -> list[Row]:
    """A row for each call, in order; then one for the parameters that no call reads, if there are any."""
    left = {value: slot for value, slot in program.graph.slots.items() if is_parameter(slot)}
    made = [row(call, program, passes, take(left, call), buckets) for call in program.graph.calls]
    if not left:
        return made
    count = sum(prod(value.shape) for value in left)
    names = sorted({slot.name for slot in left.values()})
    return [*made, Row(", ".join(names), "in no mapping", "", "", count, 0, 0, numbers_of(names, buckets))]


def row(call: Call, program: Program, passes: Passes, own: Sequence[Value], buckets: Mapping[str, int]) -> Row:
    """The row of one call; its ``own`` parameters are counted in it."""
    rule = program.plan.rules.get(call) or program.plan.drawn.get(call)
    op = str(call.op).split(".")[1]
    slots = program.graph.slots
    read = [slots[value].name for value in call.values() if value in slots]
    return Row(
        module="the loss" if call.path is None else call.path,
        name=f"{call.kind} {op}" if call.kind else op,
        equation=equation(rule) if rule is not None else op,
        shapes=shapes(call),
        parameters=sum(prod(value.shape) for value in own),
        flops=sum(map(flops, executed(call, passes, turn=rule is not None and is_turn(rule)))),
        saved=saved(call, passes),
        bucket=numbers_of(read, buckets),
    )


def executed(call: Call, passes: Passes, *, turn: bool) -> Iterator[Instruction]:
    """What the call executes on the way down; all that it executes if that is done at the turn."""
    for i in (*passes.plan.prepared, *passes.trace.instructions):
        if i.scope.call is call and (turn or not i.scope.up):
            yield i


def saved(call: Call, passes: Passes) -> int:
    """The memory that the call makes on the way down and that is read on the way up."""
    trace = passes.trace
    down, up = trace.instructions[: trace.turn], trace.instructions[trace.turn :]
    made = {o for i in down if i.scope.call is call for o in i.makes() if o.place is None}
    read = {o.root for i in up for o in i.reads()}
    return sum(root.bytes for root in made & read)


def take(left: dict[Value, Slot], call: Call) -> list[Value]:
    """The parameters that the call reads, no longer among those that are ``left``."""
    own = [value for value in dict.fromkeys(call.values()) if value in left]
    for value in own:
        del left[value]
    return own


def is_parameter(slot: Slot) -> bool:
    """Whether it is a parameter, not a buffer."""
    return slot.owner._parameters.get(slot.leaf) is not None


def is_turn(rule: object) -> bool:
    """Whether the map is done at the turn."""
    return isinstance(rule, type) and issubclass(rule, Turn)


def numbers_of(names: Sequence[str], buckets: Mapping[str, int]) -> str:
    """The buckets of parameters, by number; nothing where there are none."""
    return ",".join(map(str, sorted({buckets[name] for name in names if name in buckets})))


def written(found: Row) -> tuple[str, ...]:
    """A row's cells; a number that is 0 is left out."""
    cells = [f"{c:,}" if isinstance(c, int) and c else str(c or "") for c in astuple(found)]
    cells[2] = cells[2] if len(cells[2]) <= WIDTH else f"{cells[2][: WIDTH - 1]}…"
    return tuple(cells)
