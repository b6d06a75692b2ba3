"""A program: the generated forward and backward pass of one model for one shape, ready to run."""

import itertools
import linecache
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Generator, Tensor, nn

from distbp.maps.into import Add, Into, Write
from distbp.program.backward import Backward
from distbp.program.forward import Forward
from distbp.program.graph import Graph, Slot, Value
from distbp.program.lower import lower
from distbp.program.schedule import How, schedule
from distbp.program.text import typed
from distbp.program.vocabulary import Vocabulary

_NUMBERS = itertools.count(1)


class Program:
    """``source`` is the Python that runs; ``emissions`` the trainable parameters in the order they complete.

    The parameters and buffers are read from the module at every run; a program holds no tensors but constants.
    """

    def __init__(self, graph: Graph, *, fallback: bool = False) -> None:
        plan = schedule(graph, fallback=fallback)
        rules = [*plan.rules.values(), *plan.drawn.values()]
        vocabulary = Vocabulary(rules, map(str, graph.values()))
        forward, backward = Forward(graph, plan, vocabulary), Backward(graph, plan, vocabulary)
        body = "\n".join([*forward.lines(), "", "", *backward.lines(), ""])
        self.source = "\n".join([*_head(graph), "", *vocabulary.lines(body), "", "", body])
        self.emissions = plan.emissions
        self.spec = graph.spec
        self._single = len(graph.outputs) == 1 and graph.spec.unflatten([0, 1, 2])[2] == 2
        self._parameters = [_reader(graph, value) for value in forward.parameters()]
        self._places = [(graph.slots[p.value].name, p.how is How.WRITE) for p in backward.places() if p.value]
        functions = _compiled(self.source, graph.title, vocabulary.given)
        self._forward, self._backward = functions["forward"], functions["backward"]

    def forward(self, inputs: Sequence[Any], generator: Generator) -> tuple[Tensor, int | Tensor, Any, list[Any]]:
        """``(loss_sum, count, output, saved)`` of the leaves of the inputs and the target."""
        loss_sum, count, outputs, saved = self._forward(inputs, [read() for read in self._parameters], generator)
        if self._single:
            return loss_sum, count, outputs[0], saved
        return loss_sum, count, self.spec.unflatten([loss_sum, count, *outputs])[2], saved

    def backward(
        self,
        saved: list[Any],
        d_loss: Tensor,
        gradients: Mapping[str, Tensor],
        *,
        add: bool = False,
        complete: Callable[[str], None],
    ) -> None:
        """Write each parameter's gradient into ``gradients``, or with ``add`` add it. Empties ``saved``."""
        self._backward(saved, d_loss, [self._into(gradients, p, add) for p in self._places], complete)

    def _into(self, gradients: Mapping[str, Tensor], place: tuple[str, bool], add: bool) -> Into:
        name, first = place
        return Write(gradients[name]) if first and not add else Add(gradients[name])


def build(
    module: nn.Module,
    loss: Callable[[Any, Any], Any],
    inputs: tuple[Tensor, ...],
    target: Any,
    *,
    fallback: bool = False,
) -> Program:
    """The program of ``loss(module(*inputs), target)`` for inputs of these shapes.

    With ``fallback`` an op that has no map is differentiated by torch's tape. Raises RequestError for a model or an op
    that no program can hold.
    """
    return Program(lower(module, loss, inputs, target), fallback=fallback)


def _head(graph: Graph) -> list[str]:
    return [
        f'"""The forward and the backward pass of {graph.title}, for',
        *(f"    {value.name}   {typed(value)}" for value in graph.inputs),
        '"""',
    ]


def _reader(graph: Graph, value: Value) -> Callable[[], Tensor]:
    slot: Slot | None = graph.slots.get(value)
    return slot.read if slot is not None else lambda: graph.constants[value]


def _compiled(source: str, title: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """The functions that ``source`` defines. Tracebacks and debuggers show its lines."""
    filename = f"<distbp {title} {next(_NUMBERS)}>"
    linecache.cache[filename] = (len(source), None, source.splitlines(keepends=True), filename)
    functions = dict(given)
    exec(compile(source, filename, "exec"), functions)
    return functions
