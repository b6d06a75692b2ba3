"""A program as a whole against torch's tape: its gradients, when it announces them, and what it does to its memory."""

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from distbp.check.convention import conventional_parameters, stops
from distbp.check.finding import Finding, layer_of
from distbp.check.reference import Reference, drawn
from distbp.data.part import Part
from distbp.engines.tables import rows_by_table
from distbp.program.program import Program
from distbp.rows import Rows

LOSS = "loss"
BUFFER = "buffer"
GRADIENT = "gradient"
STEPPED = "stepped"
SLOPE = "slope"
ANNOUNCED = "announced"
AGAIN = "again"
ADDED = "added"
POISON = "poison"
LAWS = {
    LOSS: "the loss against torch's",
    BUFFER: "the change of each buffer against torch's",
    GRADIENT: "each parameter's gradient, written over not-a-number, against torch's tape",
    STEPPED: "the same once every parameter has moved",
    SLOPE: "how far the loss rises along the gradient, by central differences, against how far it should",
    ANNOUNCED: "each gradient when it is announced as complete against what it is in the end",
    AGAIN: "the bits of a second run against those of the first",
    ADDED: "each gradient added to itself against its double",
    POISON: "the bits of a run that spoils all memory after its last use against those of the first",
}
STEP = 1e-6  # of central differences of the loss: they err by STEP^2, and by 1e-16 / STEP of the loss
ROUNDING = 1e-3  # a gradient that is shorter than this share of the loss is measured by that
KINKS = 2e-3  # of a rise: a step along all gradients takes some ReLUs across 0
NEGLIGIBLE = 1e-5  # of the whole gradient's norm: a smaller one is rounding, and is measured by this


@dataclass(frozen=True)
class Run:
    """What one run of a program left."""

    loss_sum: Tensor
    changes: Mapping[str, Tensor]
    gradients: Mapping[str, Tensor]
    announced: Mapping[str, Tensor]  # as they were then


class Runner:
    """Runs one program on one part, always into the same memory, as a trainer does."""

    def __init__(self, program: Program, part: Part, like: Mapping[str, Tensor]) -> None:
        self.program, self.part = program, part
        self.places = {name: torch.empty_like(g) for name, g in like.items()}

    def run(self, begin: Mapping[str, Tensor] | None = None) -> Run:
        """Write the gradients over not-a-number; or add them to ``begin``."""
        for name, place in self.places.items():
            place.fill_(float("nan")) if begin is None else place.copy_(begin[name])
        announced: dict[str, Tensor] = {}

        def complete(name: str) -> None:
            assert name not in announced, f"{name} is announced twice"
            announced[name] = self.places[name].clone()

        add = begin is not None
        with torch.no_grad():
            ran = self.program.run(self.part.leaves(), self.places, drawn(self.part), add=add, complete=complete)
            rows = rows_by_table(ran.rows)
            for name in self.program.tables:
                self._spread(name, rows.get(name), add=add)
                complete(name)
            return Run(ran.loss_sum.clone(), copied(ran.changes), copied(self.places), announced)

    def _spread(self, name: str, rows: Rows | None, *, add: bool) -> None:
        """The rows of a sparse table as a gradient like the others."""
        place = self.places[name]
        if not add:
            place.zero_()
        if rows is not None:
            place.add_(rows.dense(place))


def copied(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Copies, which later runs leave alone."""
    return {name: t.clone() for name, t in tensors.items()}


def findings(
    module: nn.Module, program: Program, poisoned: Program, reference: Reference, part: Part
) -> Iterator[Finding]:
    """What holds of the program in float64, gradient by gradient in the order in which they complete."""
    taped = reference.taped(part)
    runner, spoiler = (Runner(p, part, taped.gradients) for p in (program, poisoned))
    first, again = runner.run(), runner.run()
    added = runner.run(first.gradients)
    spoilt = [spoiler.run(), spoiler.run()][-1]
    with moved(reference.parameters, {name: 0.01 * p.detach() + 0.001 for name, p in reference.parameters.items()}):
        later, expected = runner.run(), reference.taped(part).gradients
    floor = NEGLIGIBLE * float(torch.stack([g.norm() for g in taped.gradients.values()]).norm())
    yield Finding("the loss", "sum", LOSS, far(first.loss_sum, taped.loss_sum), 1e-10)
    for name, change in taped.changes.items():
        yield Finding(layer_of(name, module), name, BUFFER, far(first.changes.get(name), change), 1e-10)
    for name in (*program.emissions, *program.tables):
        layer, g = layer_of(name, module), first.gradients[name]
        yield Finding(layer, name, GRADIENT, far(g, taped.gradients[name], floor), 1e-10)
        yield Finding(layer, name, STEPPED, far(later.gradients[name], expected[name], floor), 1e-10)
        yield Finding(layer, name, ANNOUNCED, bits(first.announced.get(name), g), 0)
        yield Finding(layer, name, AGAIN, bits(again.gradients[name], g), 0)
        yield Finding(layer, name, ADDED, far(added.gradients[name], 2 * g, floor), 1e-12)
        yield Finding(layer, name, POISON, bits(spoilt.gradients[name], g), 0)
    still = {*conventional_parameters(program.graph)}
    if not stops(program.graph, program.plan):
        yield from slopes(module, reference, {n: g for n, g in first.gradients.items() if n not in still}, part)


@contextmanager
def moved(parameters: Mapping[str, Tensor], steps: Mapping[str, Tensor]) -> Iterator[None]:
    """Each parameter that has a step is that much further, and afterwards just where it was."""
    kept = {name: parameters[name].detach().clone() for name in steps}
    with torch.no_grad():
        for name, step in steps.items():
            parameters[name].add_(step)
    try:
        yield
    finally:
        with torch.no_grad():
            for name, p in kept.items():
                parameters[name].copy_(p)


def far(found: Tensor | None, expected: Tensor, floor: float = 0.0) -> float:
    """``|found - expected| / max(|expected|, floor)``; infinite where there is nothing, or not a number."""
    if found is None or not bool(torch.isfinite(found).all()):
        return float("inf")
    difference, size = float((found - expected).double().norm()), max(float(expected.double().norm()), floor)
    return difference / size if size else difference


def bits(found: Tensor | None, expected: Tensor) -> float:
    """How many elements differ."""
    return float("inf") if found is None else int((found != expected).sum())


def slopes(module: nn.Module, reference: Reference, gradients: Mapping[str, Tensor], part: Part) -> Iterator[Finding]:
    """The rise of the loss along all gradients at once; where that is wrong, along each."""
    error = slope_error(reference, gradients, part)
    yield Finding("the module", "all parameters", SLOPE, error, KINKS)
    if not error <= KINKS:
        for name, gradient in gradients.items():
            yield Finding(layer_of(name, module), name, SLOPE, slope_error(reference, {name: gradient}, part), KINKS)


def slope_error(reference: Reference, gradients: Mapping[str, Tensor], part: Part) -> float:
    """By how much the loss rises too much or too little where each parameter takes a step of one length along its
    gradient.
    """
    expected = sum(float(g.norm()) for g in gradients.values())
    rise = 0.0
    for h in (STEP, -STEP):
        with moved(reference.parameters, {name: h / (float(g.norm()) or 1.0) * g for name, g in gradients.items()}):
            rise += reference.loss(part) / (2 * h)
    size = expected + ROUNDING * abs(reference.loss(part))
    error = abs(rise - expected) / size if size else 0.0
    return error if math.isfinite(error) else float("inf")
