"""What a program does when, decided before the first step: which calls are differentiated, by which maps, and after
which of them each parameter's gradient is complete.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from distbp.maps.base import Map
from distbp.program.graph import Call, Graph, Slot, Value
from distbp.program.rules import draws, rule_of

SHAPES_ONLY = {"detach", *(f"{what}_like" for what in ("zeros", "ones", "full", "empty", "rand", "randn"))}
SHAPES_ONLY |= {f"new_{what}" for what in ("zeros", "ones", "full", "empty")}
"""Ops whose results do not depend on the numbers in their inputs, as far as gradients go."""


@dataclass(frozen=True)
class Pullback:
    """One VJP, and the parameters, by name, whose gradients it completes."""

    call: Call
    rule: type[Map] | Map
    completes: tuple[str, ...]


@dataclass(frozen=True)
class Schedule:
    """The plan of one program."""

    slots: dict[Value, Slot]
    rules: dict[Call, type[Map] | Map]  # of the calls that are differentiated, in order
    drawn: dict[Call, type[Map] | Map]  # of those that only draw
    wanted: frozenset[Value]  # the values whose gradients are formed
    backward: tuple[Pullback, ...]
    unused: tuple[Value, ...]  # trainable parameters that the loss does not depend on

    @property
    def emissions(self) -> tuple[str, ...]:
        """The trainable parameters in the order in which their gradients complete."""
        names = (name for step in self.backward for name in step.completes)
        return (*(self.slots[value].name for value in self.unused), *names)


def schedule(graph: Graph, *, fallback: bool) -> Schedule:
    """The plan of ``graph``. With ``fallback`` an op without a map is differentiated by torch's tape.

    Raises RequestError for an op that has no map and needs one.
    """
    rules = {call: rule_of(call, fallback=fallback) for call in differentiated(graph)}
    drawn = {call: rule_of(call, fallback=False) for call in graph.calls if draws(call) and call not in rules}
    parameters = frozenset(value for value, slot in graph.slots.items() if slot.trainable)
    backward = tuple(pullbacks(graph, rules, parameters))
    completed = {name for step in backward for name in step.completes}
    unused = tuple(v for v in graph.slots if v in parameters and graph.slots[v].name not in completed)
    outputs = {v for call in rules for v in call.outputs if v is not None and v.dtype.is_floating_point}
    return Schedule(graph.slots, rules, drawn, parameters | outputs, backward, unused)


def differentiated(graph: Graph) -> list[Call]:
    """The calls on a way from a trainable parameter to the loss, in order."""
    moved = {value for value, slot in graph.slots.items() if slot.trainable}
    for call in graph.calls:
        stops = call.still or call.op.overloadpacket.__name__ in SHAPES_ONLY
        if not stops and not moved.isdisjoint(call.values()):
            moved.update(v for v in call.outputs if v is not None and v.dtype.is_floating_point)
    reached, kept = {graph.loss_sum}, []
    for call in reversed(graph.calls):
        if not (reached & moved).isdisjoint(call.outputs):
            reached.update(moved.intersection(call.values()))
            kept.append(call)
    return kept[::-1]


def pullbacks(graph: Graph, rules: dict[Call, type[Map] | Map], parameters: frozenset[Value]) -> Iterator[Pullback]:
    """The VJPs, last call first. A parameter's gradient is complete after the VJP of the first call that reads it."""
    uses = Counter(v for call in rules for v in call.values() if v in parameters)
    for call, rule in reversed(rules.items()):
        own = [v for v in call.values() if v in parameters]
        uses.subtract(own)
        yield Pullback(call, rule, tuple(graph.slots[v].name for v in dict.fromkeys(own) if not uses[v]))
