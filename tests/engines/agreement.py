"""How engines are compared: what one makes of some parts, and how far two, or one in float32, are apart."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from distbp.data.part import Part
from distbp.engines.base import Destination, Engine, Outcome

Gradients = Mapping[str, Tensor]


@dataclass
class Run:
    """What one engine makes of some parts, all into one destination, the later ones added."""

    engine: Engine
    places: dict[str, Tensor] = field(default_factory=dict)
    completed: list[list[str]] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)

    def __post_init__(self) -> None:
        trainable = [(name, p) for name, p in self.engine.module.named_parameters() if p.requires_grad]
        self.places = {name: torch.full_like(p, float("nan"), requires_grad=False) for name, p in trainable}

    def over(self, *parts: Part) -> Gradients:
        for number, part in enumerate(parts):
            order: list[str] = []
            there = Destination(self.places, number > 0, complete=order.append)
            self.outcomes.append(self.engine.gradients(part, there))
            self.completed.append(order)
        return self.places


def run(engine: Engine, *parts: Part) -> Run:
    """``engine`` made ready for the first of ``parts``, and run over them."""
    engine.prepare(parts[0])
    done = Run(engine)
    done.over(*parts)
    return done


def as_dtype(part: Part, dtype: torch.dtype) -> Part:
    """``part`` with its numbers in ``dtype``; labels stay what they are."""
    cast = lambda x: x.to(dtype) if x.is_floating_point() else x  # noqa: E731
    return replace(part, inputs=tuple(map(cast, part.inputs)), target=cast(part.target))


def scales(gradients: Gradients, vanishing: tuple[str, ...] = ()) -> dict[str, float]:
    """What the error of each gradient is divided by: its own norm.

    A gradient that is zero for every batch is no measure of its own rounding, which follows the terms that cancel: for
    the names that end in ``vanishing`` it is the norm of the whole.
    """
    norms = {name: float(gradient.double().norm()) for name, gradient in gradients.items()}
    whole = math.hypot(*norms.values())
    return {name: whole if name.endswith(vanishing) else norm or 1.0 for name, norm in norms.items()}


def errors(found: Gradients, exact: Gradients, vanishing: tuple[str, ...] = ()) -> dict[str, float]:
    """``|found - exact| / scale`` of each gradient, in norm."""
    return {
        name: float((found[name].double() - exact[name].double()).norm()) / scale
        for name, scale in scales(exact, vanishing).items()
    }


def beyond(bar: float, values: Mapping[str, float]) -> dict[str, float]:
    """Those of ``values`` that are not at most ``bar``, NaN among them."""
    return {name: value for name, value in values.items() if not value <= bar}


def assert_equal(manual: Run, autograd: Run, vanishing: tuple[str, ...] = ()) -> None:
    """The law in float64: 1e-10 relative for each gradient and change of a buffer, 1e-12 for the sum of the loss."""
    assert manual.places.keys() == autograd.places.keys()
    assert beyond(1e-10, errors(manual.places, autograd.places, vanishing)) == {}
    ours, theirs = manual.outcomes[0], autograd.outcomes[0]
    assert abs(float(ours.loss_sum) - float(theirs.loss_sum)) < 1e-12 * max(1, abs(float(theirs.loss_sum)))
    assert int(ours.count) == int(theirs.count)
    assert {n: d.dtype for n, d in ours.buffer_deltas.items()} == {n: d.dtype for n, d in theirs.buffer_deltas.items()}
    assert beyond(1e-10, errors(ours.buffer_deltas, theirs.buffer_deltas)) == {}


def excesses(
    manual: Gradients, autograd: Gradients, exact: Gradients, vanishing: tuple[str, ...] = ()
) -> dict[str, float]:
    """The law in float32, a number for each gradient that it allows to be at most 1.

    ``manual's error / max(1e-5, 2 autograd's error)``, both against the float64 gradient.
    """
    ours, theirs = (errors(found, exact, vanishing) for found in (manual, autograd))
    return {name: ours[name] / max(1e-5, 2 * theirs[name]) for name in exact}
