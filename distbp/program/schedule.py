"""What a program does when, decided before the first step.

Forward: which calls save something for the backward pass, and after which call each value is dead. Backward: the order
of the VJPs, where each of the gradients goes, and when each parameter's gradient is complete.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from distbp.maps.base import Map
from distbp.program.graph import Call, Graph, Slot, Value
from distbp.program.rules import draws, rule_of


class How(Enum):
    """How a gradient is delivered: the destinations of distbp.maps.into."""

    SKIP = "nobody wants it"
    FRESH = "a new tensor"
    AGAIN = "a new tensor, of a call that reads a value more than once; added to the first afterwards"
    WRITE = "over a parameter's gradient"
    MORE = "onto a parameter's gradient"
    ADD = "onto the gradient that an earlier use gave, in place"
    PLUS = "onto the gradient that an earlier use gave, which others may still read"


@dataclass(frozen=True)
class Place:
    """Where the gradient of one use of a value goes."""

    how: How
    value: Value | None = None


@dataclass(frozen=True)
class Pullback:
    """One VJP: ``into`` is arranged as the call's inputs are."""

    call: Call
    read: tuple[Value | None, ...]  # the outputs whose gradients exist
    into: tuple[Any, ...]  # Places
    completes: tuple[str, ...]  # parameters, by name

    def places(self) -> Iterator[Place]:
        """The places in ``into``, lists opened."""
        for item in self.into:
            yield from item if isinstance(item, tuple) else (item,)


@dataclass(frozen=True)
class Schedule:
    """The plan of one program."""

    slots: dict[Value, Slot]
    rules: dict[Call, type[Map] | Map]  # of the calls that are differentiated, in order
    drawn: dict[Call, type[Map] | Map]  # of those that only draw
    dead: dict[Call, tuple[Value, ...]]  # the values that nobody reads after this call
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
    backward = tuple(_Backward(graph, rules).steps())
    completed = {name for step in backward for name in step.completes}
    unused = tuple(v for v, slot in graph.slots.items() if slot.trainable and slot.name not in completed)
    return Schedule(graph.slots, rules, drawn, dead_after(graph), backward, unused)


def differentiated(graph: Graph) -> list[Call]:
    """The calls on a way from a trainable parameter to the loss, in order."""
    moved = {value for value, slot in graph.slots.items() if slot.trainable}
    for call in graph.calls:
        if not moved.isdisjoint(call.values()) and str(call.op) != "aten.detach.default":
            moved.update(v for v in call.outputs if v is not None and v.dtype.is_floating_point)
    reached, kept = {graph.loss_sum}, []
    for call in reversed(graph.calls):
        if not (reached & moved).isdisjoint(call.outputs):
            reached.update(moved.intersection(call.values()))
            kept.append(call)
    return kept[::-1]


def dead_after(graph: Graph) -> dict[Call, tuple[Value, ...]]:
    """For each call the values of other calls that it is the last to read, or that nobody reads."""
    lasting = {item for item in (graph.loss_sum, graph.count, *graph.outputs) if isinstance(item, Value)}
    lasting |= {*graph.inputs, *graph.slots, *graph.constants}
    dead = {}
    for call in reversed(graph.calls):
        ends = [v for v in (*call.values(), *call.outputs) if v is not None and v not in lasting]
        lasting.update(ends)
        dead[call] = tuple(dict.fromkeys(ends))
    return dead


@dataclass
class _Backward:
    """The state of a walk down the backward pass."""

    graph: Graph
    rules: dict[Call, type[Map] | Map]
    formed: dict[Value, bool] = field(default_factory=dict)  # gradients so far; whether each is nobody else's
    wanted: set[Value] = field(default_factory=set)
    uses: Counter[Value] = field(default_factory=Counter)  # uses of each parameter that are still to come

    def __post_init__(self) -> None:
        self.wanted = {v for v, slot in self.graph.slots.items() if slot.trainable}
        for call in self.rules:
            self.uses.update(v for v in call.values() if v in self.wanted)
        self.parameters = set(self.uses)
        self.formed[self.graph.loss_sum] = False
        outputs = (v for call in self.rules for v in call.outputs if v is not None)
        self.wanted |= {v for v in outputs if v.dtype.is_floating_point}

    def steps(self) -> Iterator[Pullback]:
        """The VJPs, last call first."""
        for call, rule in reversed(self.rules.items()):
            read = tuple(v if v in self.formed else None for v in call.outputs)
            step = Pullback(call, read, tuple(self._into(call)), tuple(self._completed(call)))
            for place in step.places():
                if place.value is not None:
                    self.formed[place.value] = place.how not in (How.FRESH, How.AGAIN) or rule.owned
            yield step

    def _into(self, call: Call) -> Iterator[Any]:
        seen: set[Value] = set()
        for item in call.inputs:
            yield tuple(self._place(v, seen) for v in item) if isinstance(item, tuple) else self._place(item, seen)

    def _place(self, value: Any, seen: set[Value]) -> Place:
        """``seen`` are the values that this call has as inputs further left."""
        if not isinstance(value, Value) or value not in self.wanted:
            return Place(How.SKIP)
        first = value not in self.formed and value not in seen
        again = value in seen
        seen.add(value)
        if value in self.parameters:
            return Place(How.WRITE if first else How.MORE, value)
        if first or again:
            return Place(How.FRESH if first else How.AGAIN, value)
        return Place(How.ADD if self.formed[value] else How.PLUS, value)

    def _completed(self, call: Call) -> Iterator[str]:
        own = [v for v in call.values() if v in self.parameters]
        self.uses.subtract(own)
        return (self.graph.slots[v].name for v in dict.fromkeys(own) if not self.uses[v])
