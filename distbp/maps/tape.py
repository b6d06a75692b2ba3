"""The map of an op that has none of its own: torch's tape, recorded for this op alone."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch._ops import OpOverload

from distbp.maps.base import Map


class Tape(Map):
    """y = op(x_1, x_2, ...), whatever op is.
    dx_i by torch's tape
    """

    opaque = True

    def __init__(self, op: OpOverload, names: Sequence[str]) -> None:
        self.op = op
        self.names = tuple(names)

    def forward(self, *inputs: Any, **attributes: Any) -> tuple[Any, Any]:
        """The op's output, and the piece of tape that leads to it."""
        leaves = [_leaf(x) for x in inputs]
        with torch.enable_grad():
            y = self.op(**dict(zip(self.names, leaves, strict=True)), **attributes)
        return _detached(y), (leaves, y)

    def vjp(self, saved: Any, d_y: Any) -> tuple[Any, ...]:
        """The piece of tape, run backward."""
        leaves, y = saved
        sources = [x for x in _flat(leaves) if isinstance(x, Tensor) and x.requires_grad]
        pairs = zip(_flat([y]), _flat([d_y]), strict=True)
        outputs = [(o, d) for o, d in pairs if d is not None and o.requires_grad]
        if not outputs:
            return tuple([None] * len(x) if isinstance(x, list) else None for x in leaves)
        formed = torch.autograd.grad([o for o, _ in outputs], sources, [d for _, d in outputs], materialize_grads=True)
        gradient = {id(x): d.contiguous() for x, d in zip(sources, formed, strict=True)}
        return tuple(
            tuple(gradient.get(id(item)) for item in x) if isinstance(x, list) else gradient.get(id(x)) for x in leaves
        )


def _leaf(x: Any) -> Any:
    """``x`` as the beginning of a tape."""
    if isinstance(x, list | tuple):
        return [_leaf(item) for item in x]
    # .data has a version of its own: the memory beside it may change before the tape runs back
    return x.data.requires_grad_(x.is_floating_point()) if isinstance(x, Tensor) else x


def _detached(y: Any) -> Any:
    """Without the tape, and contiguous, as a program takes what it cannot look into."""
    return y.detach().contiguous() if isinstance(y, Tensor) else tuple(map(_detached, y))


def _flat(values: Sequence[Any]) -> list[Any]:
    """Lists within ``values`` opened, one level deep, as ops have them."""
    return [item for value in values for item in (value if isinstance(value, list | tuple) else [value])]
