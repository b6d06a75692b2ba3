"""The law that every map obeys: ``<dy, J v> = <J^T dy, v>``, for every cotangent dy and every direction v.

J v is taken by central differences of the map's own forward pass, so the law needs no second derivation. Use float64.
Where an output has a kink in the direction v (a ReLU at 0, a tie of maxima), dy is 0: there is no derivative.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Generator, Tensor

from distbp.maps.base import Map, Turn

STEP = 1e-6  # central differences err by STEP^2 in the mathematics and by 1e-16 / STEP in float64
KINK = 1e-3  # by how much the slopes on the two sides of a point differ, relative, where there is a kink
ROUNDING = 1e-14  # of an output, relative


@dataclass(frozen=True)
class Call:
    """A map with the inputs and attributes of one call. Draws, if it makes any, are those of ``seed``.

    An input is a tensor, None, or a tuple of these; below, inputs are numbered with the tuples opened. Outputs that
    are not ``read``, where that is given, have a cotangent of zero.
    """

    rule: type[Map] | Map
    inputs: Sequence[Any]
    attributes: Mapping[str, Any]
    seed: int = 0
    read: Sequence[bool] | None = None

    def forward(self, inputs: Sequence[Tensor | None] | None = None) -> tuple[tuple[Tensor, ...], Any]:
        """The outputs, and what the VJP reads, of the call's own inputs or of those given, opened."""
        drawn = {"generator": Generator().manual_seed(self.seed)} if self.rule.random else {}
        output, saved = self.rule.forward(*self._closed(inputs), **self.attributes, **drawn)
        return _as_tuple(output), saved

    def vjp(self, d_outputs: Sequence[Tensor]) -> dict[int, Tensor]:
        """``J^T dy`` of every input of floating point that has one, by the input's number."""
        _, saved = self.forward()
        return self._numbered(self.rule.vjp(saved, _joined(d_outputs)))

    def turn(self, d_outputs: Sequence[Tensor]) -> tuple[tuple[Tensor, ...], dict[int, Tensor]]:
        """The outputs and ``J^T dy`` at once, of a map that can."""
        assert isinstance(self.rule, type)
        assert issubclass(self.rule, Turn)
        output, gradients = self.rule.turn(_joined(d_outputs), *self.inputs, **self.attributes)
        return _as_tuple(output), self._numbered(gradients)

    def opened(self) -> list[Tensor | None]:
        """The inputs, with tuples opened."""
        return _opened(self.inputs)

    def cotangents(self) -> list[Tensor]:
        """A random dy for each output; zero for one that is not read, or not of floating point."""
        generator = Generator().manual_seed(self.seed + 1)
        outputs = self.forward()[0]
        read = self.read or [True] * len(outputs)
        return [
            _normal(y, generator) * r if y.is_floating_point() else torch.zeros(y.shape)
            for y, r in zip(outputs, read, strict=True)
        ]

    def _closed(self, inputs: Sequence[Tensor | None] | None) -> list[Any]:
        if inputs is None:
            return list(self.inputs)
        left = iter(inputs)
        return [tuple(next(left) for _ in x) if isinstance(x, tuple | list) else next(left) for x in self.inputs]

    def _numbered(self, gradients: Sequence[Any]) -> dict[int, Tensor]:
        pairs = enumerate(zip(self.opened(), _opened(gradients), strict=True))
        return {i: d for i, (x, d) in pairs if x is not None and x.is_floating_point() and d is not None}


def transpose_error(call: Call) -> float:
    """The largest relative difference between ``<dy, J v>`` and ``<J^T dy, v>`` over the inputs."""
    generator = Generator().manual_seed(call.seed + 2)
    return max((_transposed(call, i, generator) for i in call.vjp(call.cotangents())), default=0.0)


def _transposed(call: Call, i: int, generator: Generator) -> float:
    x = call.opened()[i]
    assert x is not None
    v = _normal(x, generator) * _size(x)
    slopes = _slopes(call, i, x, v)
    d_y = [d * smooth for d, (_, smooth) in zip(call.cotangents(), slopes, strict=True)]
    d_x = call.vjp(d_y)[i]
    if d_x.shape != x.shape:
        return float("inf")
    j_v = [slope for slope, _ in slopes]
    left, right = _inner(d_y, j_v), _inner([d_x], [v])
    size = sum(float(d.norm() * j.norm()) for d, j in zip(d_y, j_v, strict=True)) + float(d_x.norm() * v.norm())
    return abs(left - right) / size if size else abs(left - right)


def _size(x: Tensor) -> float:
    """The root of the mean square of ``x``, at most 1; 1 where x is 0: a step is small beside what it changes."""
    finite = x[x.isfinite()]
    return min(float(finite.square().mean().sqrt()) or 1.0, 1.0) if finite.numel() else 1.0


def _slopes(call: Call, i: int, x: Tensor, v: Tensor) -> list[tuple[Tensor, Tensor]]:
    """For each output its derivative in the direction ``v`` of input ``i``, and where it has one."""
    inputs = call.opened()
    outputs = (call.forward([*inputs[:i], x + h * v, *inputs[i + 1 :]])[0] for h in (-STEP, 0.0, STEP))
    return [_slope(*(y.double() for y in at)) for at in zip(*outputs, strict=True)]


def _slope(below: Tensor, here: Tensor, above: Tensor) -> tuple[Tensor, Tensor]:
    left, right = here - below, above - here
    noise = ROUNDING * here.nan_to_num(posinf=0.0, neginf=0.0).norm()
    smooth = (right - left).abs() <= KINK * (right.abs() + left.abs()) + noise  # never where a value is infinite
    return torch.where(smooth, (above - below) / (2 * STEP), 0.0), smooth


def tape_error(call: Call, twin: Call | None = None) -> float:
    """The largest relative difference, in norm, from what torch's tape makes of the same forward pass.

    With a ``twin``, whose forward pass must be the same mathematics, the tape is that pass's, and outputs count, too.
    """
    d_y = call.cotangents()
    formed = call.vjp(d_y)
    leaves, outputs = _taped(call, formed, twin)
    pairs = [] if twin is None else [*zip(call.forward()[0], outputs, strict=True)]
    reached = [(y, d) for y, d in zip(outputs, d_y, strict=True) if y.requires_grad]
    if reached:
        taped = torch.autograd.grad([y for y, _ in reached], leaves, [d for _, d in reached], materialize_grads=True)
        pairs += zip(formed.values(), taped, strict=True)
    return max((distance(ours, theirs.detach()) for ours, theirs in pairs), default=0.0)


def differentiable(call: Call, twin: Call | None = None) -> list[bool]:
    """Of which outputs torch's tape knows a derivative: not of running statistics."""
    return [y.requires_grad for y in _taped(call, call.vjp(call.cotangents()), twin)[1]]


def _taped(call: Call, formed: Mapping[int, Tensor], twin: Call | None) -> tuple[list[Tensor], tuple[Tensor, ...]]:
    """Leaves of a tape for the inputs that have a gradient, and the outputs that it leads to."""
    leaves = {i: x.detach().requires_grad_() for i, x in enumerate(call.opened()) if x is not None and i in formed}
    with torch.enable_grad():
        outputs, _ = (twin or call).forward([leaves.get(i, x) for i, x in enumerate(call.opened())])
    return [*leaves.values()], outputs


def changed_operands(call: Call) -> int:
    """How many of the tensors that belong to others (inputs, outputs and their cotangents) the two functions write."""
    inputs = [x for x in call.opened() if x is not None]
    versions = [x._version for x in inputs]
    outputs, saved = call.forward()
    d_y = call.cotangents()
    theirs = [*inputs, *outputs, *d_y]
    versions += [x._version for x in theirs[len(inputs) :]]
    call.rule.vjp(saved, _joined(d_y))
    return sum(x._version != before for x, before in zip(theirs, versions, strict=True))


def turn_error(call: Call) -> float:
    """How far the output and the gradients that a map forms at once are from those that it forms in turn."""
    d_y = call.cotangents()
    outputs, gradients = call.turn(d_y)
    errors = [distance(ours, plain) for ours, plain in zip(outputs, call.forward()[0], strict=True)]
    return max(*errors, *(distance(gradients[i], d) for i, d in call.vjp(d_y).items()))


def distance(a: Tensor, b: Tensor) -> float:
    """``|a - b| / |b|``, and infinite if the shapes differ or a value is not a number."""
    if a.shape != b.shape or not bool(torch.isfinite(a).all()):
        return float("inf")
    if not (a.is_floating_point() or a.is_complex()):
        a, b = a.double(), b.double()  # integers have no norm
    size = float(b.norm())
    return float((a - b).norm()) / size if size else float(a.norm())


def _joined(d_outputs: Sequence[Tensor]) -> Any:
    return d_outputs[0] if len(d_outputs) == 1 else tuple(d_outputs)


def _opened(values: Sequence[Any]) -> list[Any]:
    """Tuples within ``values`` opened, one level deep, as ops have them."""
    return [item for value in values for item in (value if isinstance(value, tuple | list) else (value,))]


def _inner(a: Sequence[Tensor], b: Sequence[Tensor]) -> float:
    return sum(float((x.double() * y).sum()) for x, y in zip(a, b, strict=True))


def _normal(like: Tensor, generator: Generator) -> Tensor:
    return torch.randn(like.shape, generator=generator, dtype=like.dtype)


def _as_tuple(output: Any) -> tuple[Tensor, ...]:
    return (output,) if isinstance(output, Tensor) else tuple(output)
