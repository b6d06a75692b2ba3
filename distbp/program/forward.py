"""The source of a program's forward pass."""

from collections.abc import Iterator, Sequence

from distbp.maps.base import equation
from distbp.program.graph import Call, Graph, Value
from distbp.program.schedule import Schedule
from distbp.program.text import arguments, attributes, joined, listed, literal, shapes, statement, unpack
from distbp.program.vocabulary import Vocabulary


class Forward:
    """Writes ``forward(inputs, parameters, generator) -> (loss_sum, count, outputs, saved)``."""

    def __init__(self, graph: Graph, plan: Schedule, vocabulary: Vocabulary) -> None:
        self.graph = graph
        self.plan = plan
        self.vocabulary = vocabulary
        self.rules = {**plan.drawn, **plan.rules}

    def parameters(self) -> Sequence[Value]:
        """The parameters, buffers and constants that the program reads, in the order of ``parameters``."""
        read = {value for call in self.graph.calls for value in call.values()}
        read.update(item for item in (self.graph.loss_sum, *self.graph.outputs) if isinstance(item, Value))
        return [value for value in (*self.graph.slots, *self.graph.constants) if value in read]

    def lines(self) -> Iterator[str]:
        """The function."""
        yield "def forward(inputs, parameters, generator):"
        yield from unpack([value.name for value in self.graph.inputs], "inputs")
        yield from unpack([value.name for value in self.parameters()], "parameters")
        for call in self.graph.calls:
            yield ""
            yield f"    # {call.where}:   {self._told(call)}   {shapes(call)}"
            yield from self._apply(call)
            if self.plan.dead[call]:
                yield f"    del {', '.join(value.name for value in self.plan.dead[call])}"
        yield ""
        yield from listed("saved", [_saved(call) for call in self.plan.rules])
        returned = (self.graph.loss_sum, self.graph.count, self.graph.outputs)
        yield f"    return {', '.join(map(literal, returned))}, saved"

    def _told(self, call: Call) -> str:
        return equation(self.rules[call]) if call in self.rules else str(call.op).split(".")[1]

    def _apply(self, call: Call) -> Iterator[str]:
        names = ["_" if value is None else value.name for value in call.outputs]
        left = joined(names) if call.several else names[0]
        rule = self.rules.get(call)
        if rule is None:
            return statement(f"{left} = ", f"torch.ops.{call.op}", arguments(call))
        named = [f"{name}={value}" for name, value in attributes(call).items()]
        drawn = ["generator=generator"] if rule.random else []
        kept = _saved(call) if call in self.plan.rules else "_"
        callee = f"{self.vocabulary[rule]}.forward"
        return statement(f"{left}, {kept} = ", callee, [*map(literal, call.inputs), *named, *drawn])


def _saved(call: Call) -> str:
    return next(f"saved_{value}" for value in call.outputs if value is not None)
