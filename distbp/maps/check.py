"""The law that every map obeys: ``<dy, J v> = <J^T dy, v>``, for every cotangent dy and every direction v.

J v is taken by central differences of the map's own forward pass, so the law needs no second derivation. Use float64.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Generator, Tensor

from distbp.maps.base import Map
from distbp.maps.into import FRESH, SKIP, Add, Write

STEP = 1e-6  # central differences err by STEP^2 in the mathematics and by 1e-16 / STEP in float64


@dataclass(frozen=True)
class Call:
    """A map with the inputs and attributes of one call. Draws, if it makes any, are those of ``seed``."""

    rule: type[Map] | Map
    inputs: Sequence[Tensor | None]
    attributes: Mapping[str, Any]
    seed: int = 0

    def forward(self, inputs: Sequence[Tensor | None]) -> tuple[tuple[Tensor, ...], Any]:
        """The outputs, and what the VJP reads. Equal calls make equal draws."""
        drawn = {"generator": Generator().manual_seed(self.seed)} if self.rule.random else {}
        output, saved = self.rule.forward(*inputs, **self.attributes, **drawn)
        return _as_tuple(output), saved

    def vjp(self, d_outputs: Sequence[Tensor], into: Sequence[Any]) -> tuple[Any, ...]:
        """The gradients for these cotangents, into these destinations."""
        _, saved = self.forward(self.inputs)
        cotangent = d_outputs[0] if len(d_outputs) == 1 else tuple(d_outputs)
        return self.rule.vjp(saved, cotangent, tuple(into))

    def gradients(self, d_outputs: Sequence[Tensor]) -> dict[int, Tensor]:
        """``J^T dy`` for every input of floating point, by the input's number."""
        wanted = list(self.wanted())
        into = [FRESH if i in wanted else SKIP for i in range(len(self.inputs))]
        formed = self.vjp(d_outputs, into)
        return {i: formed[i] for i in wanted if formed[i] is not None}

    def wanted(self) -> Iterator[int]:
        """The numbers of the inputs that have a gradient."""
        for i, x in enumerate(self.inputs):
            if x is not None and x.is_floating_point():
                yield i

    def cotangents(self) -> list[Tensor]:
        """A random dy for each output."""
        generator = Generator().manual_seed(self.seed + 1)
        return [_normal(y, generator) for y in self.forward(self.inputs)[0]]


def transpose_error(call: Call) -> float:
    """The largest relative difference between ``<dy, J v>`` and ``<J^T dy, v>`` over the inputs."""
    d_y, generator = call.cotangents(), Generator().manual_seed(call.seed + 2)
    return max((_transposed(call, i, d_y, d_x, generator) for i, d_x in call.gradients(d_y).items()), default=0.0)


def _transposed(call: Call, i: int, d_y: Sequence[Tensor], d_x: Tensor, generator: Generator) -> float:
    x = call.inputs[i]
    assert x is not None
    if d_x.shape != x.shape:
        return float("inf")
    v = _normal(x, generator)
    above, below = (call.forward(_replaced(call.inputs, i, x + h * v))[0] for h in (STEP, -STEP))
    j_v = [(a - b) / (2 * STEP) for a, b in zip(above, below, strict=True)]
    left, right = _inner(d_y, j_v), _inner([d_x], [v])
    size = sum(float(d.norm() * j.norm()) for d, j in zip(d_y, j_v, strict=True)) + float(d_x.norm() * v.norm())
    return abs(left - right) / size if size else abs(left - right)


def tape_error(call: Call) -> float:
    """The largest relative difference, in norm, from what torch's tape makes of the same forward pass."""
    d_y = call.cotangents()
    formed = call.gradients(d_y)
    leaves = {i: x.detach().requires_grad_() for i, x in enumerate(call.inputs) if x is not None and i in formed}
    with torch.enable_grad():
        outputs, _ = call.forward([leaves.get(i, x) for i, x in enumerate(call.inputs)])
    taped = torch.autograd.grad(outputs, [*leaves.values()], d_y, materialize_grads=True)
    return max((distance(d, t) for d, t in zip(formed.values(), taped, strict=True)), default=0.0)


def destination_error(call: Call) -> float:
    """How far a gradient written over rubbish is from the fresh one, plus how far, added, it is from twice that."""
    d_y = call.cotangents()
    fresh = call.gradients(d_y)
    places = {i: torch.full_like(d, float("nan")) for i, d in fresh.items()}
    call.vjp(d_y, _into(call, places, Write))
    once = max((distance(places[i], d) for i, d in fresh.items()), default=0.0)
    call.vjp(d_y, _into(call, places, Add))
    return max((distance(places[i], 2 * d) for i, d in fresh.items()), default=0.0) + once


def distance(a: Tensor, b: Tensor) -> float:
    """``|a - b| / |b|``, and infinite if the shapes differ or a value is not a number."""
    if a.shape != b.shape or not bool(torch.isfinite(a).all()):
        return float("inf")
    size = float(b.norm())
    return float((a - b).norm()) / size if size else float(a.norm())


def _into(call: Call, places: Mapping[int, Tensor], kind: Callable[[Tensor], Any]) -> list[Any]:
    return [kind(places[i]) if i in places else SKIP for i in range(len(call.inputs))]


def _replaced(inputs: Sequence[Tensor | None], i: int, x: Tensor) -> list[Tensor | None]:
    return [*inputs[:i], x, *inputs[i + 1 :]]


def _inner(a: Sequence[Tensor], b: Sequence[Tensor]) -> float:
    return sum(float((x * y).sum()) for x, y in zip(a, b, strict=True))


def _normal(like: Tensor, generator: Generator) -> Tensor:
    return torch.randn(like.shape, generator=generator, dtype=like.dtype)


def _as_tuple(output: Any) -> tuple[Tensor, ...]:
    return (output,) if isinstance(output, Tensor) else tuple(output)
