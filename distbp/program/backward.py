"""The source of a program's backward pass."""

from collections.abc import Iterator
from typing import Any

from distbp.maps.base import vjp_equation
from distbp.program.graph import Graph, Value
from distbp.program.schedule import How, Place, Pullback, Schedule
from distbp.program.text import joined, statement, unpack
from distbp.program.vocabulary import Vocabulary


class Backward:
    """Writes ``backward(saved, d_loss, into, complete)``: the forward pass in reverse, each map by its VJP.

    ``d_x`` is the gradient of the loss in x; where x is a parameter, it is the place that its gradient goes to, and
    ``more_x`` is that place for every further use of it.
    """

    def __init__(self, graph: Graph, plan: Schedule, vocabulary: Vocabulary) -> None:
        self.graph = graph
        self.plan = plan
        self.vocabulary = vocabulary

    def places(self) -> list[Place]:
        """Where parameters' gradients go, in the order of ``into``, each place once."""
        unused = [Place(How.WRITE, value) for value in self.plan.unused]
        used = [place for step in self.plan.backward for place in step.places()]
        return list(dict.fromkeys([*unused, *(place for place in used if place.how in (How.WRITE, How.MORE))]))

    def lines(self) -> Iterator[str]:
        """The function."""
        yield "def backward(saved, d_loss, into, complete):"
        yield from unpack([self._place(place) for place in self.places()], "into")
        for value in self.plan.unused:
            yield f"    d_{value}.zero()  # the loss does not depend on it"
            yield f'    complete("{self.plan.slots[value].name}")'
        for step in self.plan.backward:
            yield ""
            yield f"    # {step.call.where}:   {vjp_equation(self.plan.rules[step.call])}"
            yield from self._step(step)
        if not self.plan.emissions:
            yield "    return"

    def _step(self, step: Pullback) -> Iterator[str]:
        bound = [self._bound(number, place) for number, place in enumerate(step.places())]
        read = [self._gradient(value) for value in step.read]
        into = arranged([self._place(place) for place in step.places()], step.into)
        callee = f"{self.vocabulary[self.plan.rules[step.call]]}.vjp"
        arguments = ["saved.pop()", joined(read) if step.call.several else read[0], joined(into)]
        yield from statement(_left(arranged(bound, step.into)), callee, arguments)
        yield f"    del {', '.join(name for name in read if name != 'None')}"
        for name, place in zip(bound, step.places(), strict=True):
            if place.how is How.AGAIN:
                yield f"    d_{place.value} = d_{place.value} + {name}"
                yield f"    del {name}"
        for name in step.completes:
            yield f'    complete("{name}")'

    def _gradient(self, value: Value | None) -> str:
        """The name of a value's gradient; None if nothing that reads the value leads to the loss."""
        if value is None:
            return "None"
        return "d_loss" if value is self.graph.loss_sum else f"d_{value}"

    def _place(self, place: Place) -> str:
        """The destination that a VJP is given."""
        match place.how:
            case How.SKIP:
                return "SKIP"
            case How.FRESH | How.AGAIN:
                return "FRESH"
            case How.WRITE:
                return f"d_{place.value}"
            case How.MORE:
                return f"more_{place.value}"
            case How.ADD:
                return f"Add(d_{place.value})"
            case How.PLUS:
                return f"Plus(d_{place.value})"

    def _bound(self, number: int, place: Place) -> str:
        """What a gradient that a VJP returns is called. Those of parameters lie where they belong already."""
        if place.how in (How.SKIP, How.WRITE, How.MORE):
            return "_"
        return f"again_{number}" if place.how is How.AGAIN else f"d_{place.value}"


def _left(bound: list[str]) -> str:
    """The left side of an assignment, empty if nothing is bound."""
    if not any(char.isalnum() for name in bound for char in name):
        return ""
    return f"{joined(bound) if len(bound) == 1 else ', '.join(bound)} = "


def arranged(names: list[str], into: tuple[Any, ...]) -> list[str]:
    """``names``, with those of an op's list of tensors as one tuple's display."""
    left = iter(names)
    return [joined([next(left) for _ in item]) if isinstance(item, tuple) else next(left) for item in into]
