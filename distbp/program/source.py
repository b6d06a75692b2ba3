"""The Python source of a program: its forward and its backward pass, as one would write them by hand."""

import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import torch

from distbp.maps.base import Map, equation, vjp_equation
from distbp.maps.tape import Tape
from distbp.program.graph import Call, Graph, Value
from distbp.program.names import Names
from distbp.program.schedule import How, Place, Pullback, Schedule

WIDTH = 110


class Source:
    """Writes the source of one program. ``given`` are the maps that the source cannot import, by their names in it."""

    def __init__(self, graph: Graph, plan: Schedule) -> None:
        self.graph = graph
        self.plan = plan
        self.given: dict[str, Any] = {}
        self._imports: list[str] = []
        self._names: dict[int, str] = {}
        self._reserved = Names()
        for rule in [*plan.rules.values(), *plan.drawn.values()]:
            self._name(rule)

    def text(self) -> str:
        """The whole module."""
        parts = [self._head(), *self._forward(), "", "", *self._backward()]
        return "\n".join(parts) + "\n"

    # Maps

    def _name(self, rule: Any) -> None:
        if id(rule) in self._names:
            return
        if isinstance(rule, Tape):
            name = self._reserved.new(f"taped_{rule.op.overloadpacket.__name__}")
            self._imports.append(f"{name} = Tape(torch.ops.{rule.op}, {rule.names!r})")
        else:
            name = self._imported(rule)
        self._names[id(rule)] = name

    def _imported(self, rule: type[Map]) -> str:
        name = self._reserved.new(rule.__name__)
        found = getattr(sys.modules.get(rule.__module__), rule.__qualname__, None)
        if found is rule and rule.__module__ != "__main__":
            alias = "" if name == rule.__name__ else f" as {name}"
            self._imports.append(f"from {rule.__module__} import {rule.__name__}{alias}")
        else:
            self.given[name] = rule
            self._imports.append(f"# {name}: the map of that name that {rule.__module__} registered")
        return name

    def _head(self) -> str:
        operands = [f"{value.name}   {_typed(value)}" for value in self.graph.inputs]
        title = f'"""The forward and the backward pass of {self.graph.title}, for\n'
        lines = "".join(f"    {operand}\n" for operand in operands)
        return title + lines + '"""\n\n' + "\n".join(self._import_lines()) + "\n\n"

    def _import_lines(self) -> Iterator[str]:
        yield "import torch"
        yield ""
        yield "from distbp.maps.into import FRESH, SKIP, Add, Plus"
        rank = {"from": 0, "#": 1}
        lines = sorted(self._imports, key=lambda line: (rank.get(line.split(" ")[0], 2), line))
        if any(" = Tape(" in line for line in lines):
            yield "from distbp.maps.tape import Tape"
        yield from lines

    # Forward

    def _forward(self) -> Iterator[str]:
        yield "def forward(inputs, parameters, generator):"
        yield from _unpack(self.graph.inputs, "inputs")
        yield from _unpack([*self.graph.slots, *self.graph.constants], "parameters")
        for call in self.graph.calls:
            yield ""
            yield from _comment(self._told(call))
            yield from _statement(self._application(call))
            yield from self._forget(call)
        yield ""
        saved = [_saved(call) for call in self.plan.rules]
        result = [self.graph.loss_sum, self.graph.count, _tuple(self.graph.outputs), f"[{', '.join(saved)}]"]
        yield from _statement(("return ", "", [str(item) for item in result], ""))

    def _told(self, call: Call) -> str:
        """Where a call is in the model, what it computes, and its shapes."""
        rule = self._rule(call)
        shapes = ", ".join(_shape(v) for v in call.values()) + " -> " + ", ".join(_shape(v) for v in call.outputs if v)
        return f"{call.where}:   {equation(rule) if rule else str(call.op).split('.')[1]}   {shapes}"

    def _rule(self, call: Call) -> Any:
        return self.plan.rules.get(call) or self.plan.drawn.get(call)

    def _application(self, call: Call) -> tuple[str, str, list[str], str]:
        rule, attributes = self._rule(call), _attributes(call)
        left = _targets(call)
        if rule is None:
            return f"{left} = ", f"torch.ops.{call.op}", [*_named_after_gap(call), *attributes], ""
        if rule.random:
            attributes.append("generator=generator")
        kept = _saved(call) if call in self.plan.rules else "_"
        left = f"({left}), {kept}" if call.several else f"{left}, {kept}"
        return f"{left} = ", f"{self._names[id(rule)]}.forward", [*map(_literal, call.inputs), *attributes], ""

    def _forget(self, call: Call) -> Iterator[str]:
        dead = [value.name for value in self.plan.dead[call]]
        if dead:
            yield f"    del {', '.join(dead)}"

    # Backward

    def _backward(self) -> Iterator[str]:
        yield "def backward(saved, d_loss, into, complete):"
        yield from _unpack([name for name, _ in self.destinations()], "into")
        for name in self.plan.unused:
            yield f"    {self._into(name)}.zero()  # the loss does not depend on it"
            yield f"    complete({name!r})"
        for step in self.plan.backward:
            yield ""
            yield from _comment(f"{step.call.where}:   {vjp_equation(self.plan.rules[step.call])}")
            yield from self._pullback(step)
        if not self.plan.backward and not self.plan.unused:
            yield "    return"

    def destinations(self) -> list[tuple[str, tuple[str, How]]]:
        """What backward is given in ``into``: for each entry its name here, the parameter, and how it is written."""
        entries = [(self._into(name), (name, How.WRITE)) for name in self.plan.unused]
        for step in self.plan.backward:
            for place in _flat(step.into):
                if place.how in (How.WRITE, How.MORE):
                    assert place.value is not None
                    entry = (self._place(place), (self.graph.slots[place.value].name, place.how))
                    entries.extend([entry] if entry not in entries else [])
        return entries

    def _into(self, name: str) -> str:
        return "into_" + "".join(c if c.isalnum() else "_" for c in name)

    def _pullback(self, step: Pullback) -> Iterator[str]:
        call = step.call
        d_outputs = [self._d(v) for v in call.outputs]
        formed = {v for v in call.outputs if v is not None}
        cotangent = _tuple(d_outputs) if call.several else d_outputs[0]
        bound, repeated = self._bound(step)
        arguments = ["saved.pop()", cotangent, _tuple([self._places(item) for item in step.into])]
        yield from _statement((bound, f"{self._names[id(self.plan.rules[call])]}.vjp", arguments, ""))
        for name, extra in repeated:
            yield f"    {name} = {name} + {extra}"
        gone = [self._d(v) for v in call.outputs if v in formed and v is not self.graph.loss_sum]
        yield f"    del {', '.join([name for name in gone if name != 'None'] + [e for _, e in repeated]) or 'd_loss'}"
        for name in step.completes:
            yield f"    complete({name!r})"
