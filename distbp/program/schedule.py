"""What a program does when, decided before the first step: which calls are differentiated, by which maps, and after
which of them each parameter's gradient is complete.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from distbp.errors import RequestError
from distbp.maps.base import Lookup, Map
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
    tables: frozenset[Value]  # trainable parameters whose gradients are rows

    @property
    def emissions(self) -> tuple[str, ...]:
        """The trainable parameters in the order in which their gradients complete."""
        names = (name for step in self.backward for name in step.completes)
        return (*(self.slots[value].name for value in self.unused), *names)


def schedule(graph: Graph, *, fallback: bool, tables: Iterable[str] = ()) -> Schedule:
    """The plan of ``graph``. With ``fallback`` an op without a map is differentiated by torch's tape.

    ``tables`` names the parameters whose gradients are rows. Raises RequestError for an op that has no map and needs
    one, and for a table that is read otherwise than by sparse look-ups.
    """
    rules = {call: rule_of(call, fallback=fallback) for call in differentiated(graph)}
    drawn = {call: rule_of(call, fallback=False) for call in graph.calls if draws(call) and call not in rules}
    trainable = frozenset(value for value, slot in graph.slots.items() if slot.trainable)
    looked_up = frozenset(value for value in trainable if graph.slots[value].name in {*tables})
    for call, rule in rules.items():
        refuse_dense_use(call, rule, {value: graph.slots[value].name for value in looked_up})
    parameters = trainable - looked_up
    backward = tuple(pullbacks(graph, rules, parameters))
    completed = {name for step in backward for name in step.completes}
    unused = tuple(v for v in graph.slots if v in parameters and graph.slots[v].name not in completed)
    outputs = {v for call in rules for v in call.outputs if v is not None and v.dtype.is_floating_point}
    return Schedule(graph.slots, rules, drawn, trainable | outputs, backward, unused, looked_up)


def refuse_dense_use(call: Call, rule: type[Map] | Map, tables: Mapping[Value, str]) -> None:
    """RequestError if the call reads one of the tables otherwise than by a sparse look-up."""
    read = [value for value in call.values() if value in tables]
    sparse = call.attributes.get("sparse") and not call.attributes.get("scale_grad_by_freq")
    looks_up = isinstance(rule, type) and issubclass(rule, Lookup) and sparse
    if read and not (looks_up and read == [call.inputs[0]]):
        raise not_sparse(tables[read[0]], f"{call.op} in {call.where}")


def not_sparse(table: str, reader: str) -> RequestError:
    """What is said of a table that is marked sparse and read by ``reader`` as a whole."""
    allowed = f"its rows are looked up alone by embeddings with sparse=True, but {reader} reads it too"
    return RequestError(table, "sparse=True", f"{allowed}; sparse=False is allowed")


def differentiated(graph: Graph) -> list[Call]:
    """The calls on a way from a trainable parameter to the loss, in order.

    Raises RequestError where the way leads through complex numbers: no gradient of theirs is formed.
    """
    moved = {value for value, slot in graph.slots.items() if slot.trainable}
    for call in graph.calls:
        stops = call.still or call.op.overloadpacket.__name__ in SHAPES_ONLY
        if not stops and not moved.isdisjoint(call.values()):
            moved.update(v for v in call.outputs if v is not None and (v.dtype.is_floating_point or v.dtype.is_complex))
    reached, kept = {graph.loss_sum}, []
    for call in reversed(graph.calls):
        if not (reached & moved).isdisjoint(call.outputs):
            read = moved.intersection(call.values())
            if any(v.dtype.is_complex for v in {*read, *moved.intersection(call.outputs)}):
                allowed = f"{call.op} in {call.where} reads or makes complex numbers, of which no gradient is formed"
                raise RequestError("engine", "manual", f"{allowed}; engine=autograd runs the module itself")
            reached.update(read)
            kept.append(call)
    return kept[::-1]


def pullbacks(graph: Graph, rules: dict[Call, type[Map] | Map], parameters: frozenset[Value]) -> Iterator[Pullback]:
    """The VJPs, last call first. A parameter's gradient is complete after the VJP of the first call that reads it."""
    uses = Counter(v for call in rules for v in call.values() if v in parameters)
    for call, rule in reversed(rules.items()):
        own = [v for v in call.values() if v in parameters]
        uses.subtract(own)
        yield Pullback(call, rule, tuple(graph.slots[v].name for v in dict.fromkeys(own) if not uses[v]))
