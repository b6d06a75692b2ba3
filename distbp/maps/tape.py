"""The map of an op that has none of its own: torch's tape, recorded for this op alone."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch._ops import OpOverload

from distbp.maps.base import Map
from distbp.maps.into import Into


class Tape(Map):
    """y = op(x_1, x_2, ...), whatever op is.
    dx_i by torch's tape
    """

    def __init__(self, op: OpOverload, names: Sequence[str]) -> None:
        self.op = op
        self.names = tuple(names)

    def forward(self, *inputs: Any, **attributes: Any) -> tuple[Any, Any]:
        """The op's output, and the piece of tape that leads to it."""
        leaves = [_leaf(x) for x in inputs]
        with torch.enable_grad():
            y = self.op(**dict(zip(self.names, leaves, strict=True)), **attributes)
        return _detached(y), (leaves, y)

    def vjp(self, saved: Any, d_y: Any, into: Sequence[Any]) -> tuple[Any, ...]:
        """The piece of tape, run backward for the gradients that are wanted."""
        leaves, y = saved
        pairs = [(x, place) for x, place in zip(_flat(leaves), _flat(into), strict=True) if place.wanted]
        outputs = [(o, d) for o, d in zip(_flat([y]), _flat([d_y]), strict=True) if d is not None]
        values = torch.autograd.grad(
            [o for o, _ in outputs], [x for x, _ in pairs], [d for _, d in outputs], materialize_grads=True
        )
        formed = iter([place.put(value) for (_, place), value in zip(pairs, values, strict=True)])
        return tuple(_deliver(place, formed) for place in into)


def _leaf(x: Any) -> Any:
    """``x`` as the beginning of a tape."""
    if isinstance(x, list | tuple):
        return [_leaf(item) for item in x]
    return x.detach().requires_grad_(x.is_floating_point()) if isinstance(x, Tensor) else x


def _detached(y: Any) -> Any:
    return y.detach() if isinstance(y, Tensor) else tuple(item.detach() for item in y)


def _flat(values: Sequence[Any]) -> list[Any]:
    """Lists within ``values`` opened, one level deep, as ops have them."""
    return [item for value in values for item in (value if isinstance(value, list | tuple) else [value])]


def _deliver(place: Any, formed: Any) -> Any:
    """The gradients already formed, in the arrangement of ``into``."""
    if isinstance(place, Into):
        return next(formed) if place.wanted else None
    return tuple(_deliver(item, formed) for item in place)
