"""A graph run call by call, each result in memory of its own: the slow twin of a program."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Generator, Tensor

from distbp.maps.base import Map, Turn
from distbp.program.graph import Call, Graph, Value
from distbp.program.layout import laid_out
from distbp.program.schedule import Schedule


class Interpreter:
    """Runs the maps of ``graph`` on numbers, each result laid out as in the program, so that the same generator draws
    the same. Parameters and buffers are read where they are: a tape may lead back to them.
    """

    def __init__(self, graph: Graph, plan: Schedule) -> None:
        self.graph = graph
        self.plan = plan

    def run(self, leaves: Sequence[Any], generator: Generator) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of one part, (), and the changes of the buffers that it moves."""
        now = self._given(leaves)
        for _ in self._steps(now, generator):
            pass
        moved = ((self.graph.slots[old].name, old, new) for old, new in self.graph.moved.items())
        return now[self.graph.loss_sum], {name: (now[new] - now[old]).detach() for name, old, new in moved}

    def calls(self, leaves: Sequence[Any], generator: Generator) -> Iterator[tuple[Call, list[Any]]]:
        """Each call with the numbers that it is given: tensors, None, and tuples of these."""
        now = self._given(leaves)
        with torch.no_grad():
            yield from self._steps(now, generator)

    def _given(self, leaves: Sequence[Any]) -> dict[Value, Any]:
        slots = {value: slot.read() for value, slot in self.graph.slots.items()}
        return dict(zip(self.graph.inputs, leaves, strict=True)) | slots | self.graph.constants

    def _steps(self, now: dict[Value, Any], generator: Generator) -> Iterator[tuple[Call, list[Any]]]:
        for call in self.graph.calls:
            inputs = [_numbers(item, now) for item in call.inputs]
            yield call, inputs
            made = self._apply(call, inputs, generator)
            pairs = zip(call.outputs, made if call.several else [made], strict=True)
            now.update((value, tensor) for value, tensor in pairs if value is not None)

    def _apply(self, call: Call, inputs: list[Any], generator: Generator) -> Any:
        rule = self.plan.rules.get(call) or self.plan.drawn.get(call)
        if rule is None or rule.opaque:
            return apply(call, inputs)
        drawn = {"generator": generator} if rule.random else {}
        return rule.forward(*laid_out(call.op, tuple(inputs)), **call.told(), **drawn)[0]


def apply(call: Call, inputs: Sequence[Any]) -> Any:
    """What torch's own op makes of these inputs."""
    given = [list(x) if isinstance(x, tuple) else x for x in inputs]
    return call.op(**dict(zip(call.names, given, strict=True)), **call.told())


def is_own(rule: type[Map] | Map) -> bool:
    """Whether torch has no op that does just what the map does: its draws are a part's, or it joins two ops."""
    return rule.random or (isinstance(rule, type) and issubclass(rule, Turn))


def _numbers(item: Any, now: Mapping[Value, Any]) -> Any:
    if isinstance(item, tuple):
        return tuple(_numbers(i, now) for i in item)
    return now[item] if isinstance(item, Value) else item
