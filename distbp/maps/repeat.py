"""Maps that repeat elements. Their VJPs sum the copies."""

# ruff: noqa: D102 - the class's docstring holds the equations of both functions

from collections.abc import Sequence
from typing import Any

import torch
from torch import Size, Tensor

from distbp.maps.base import Map
from distbp.maps.registry import register_map


@register_map("aten.broadcast_to.default")
@register_map("aten.expand.default")
class Expand(Map):
    """y = x, repeated along its dimensions of length 1 and along new leading ones.
    dx = dy summed over the repetitions
    """

    @staticmethod
    def forward(x: Tensor, size: Sequence[int], implicit: bool = False) -> tuple[Tensor, Size]:  # noqa: ARG004
        return x.expand(tuple(size)), x.shape

    @staticmethod
    def vjp(shape: Size, d_y: Tensor) -> tuple[Any, ...]:
        return (d_y.sum_to_size(shape),)


@register_map("aten.expand_as.default")
class ExpandAs(Map):
    """y = x, repeated to the shape of z.
    dx = dy summed over the repetitions
    """

    @staticmethod
    def forward(x: Tensor, other: Tensor) -> tuple[Tensor, Size]:
        return x.expand_as(other), x.shape

    @staticmethod
    def vjp(shape: Size, d_y: Tensor) -> tuple[Any, ...]:
        return (d_y.sum_to_size(shape), None)


def _summed(d_y: Tensor, shape: Size, repeats: Sequence[int]) -> Tensor:
    """The sum over ``repeats`` copies of ``shape``, of which each dimension of dy is made."""
    lengths = [1] * (len(repeats) - len(shape)) + list(shape)
    pairs = [n for pair in zip(repeats, lengths, strict=True) for n in pair]
    dims = [2 * i for i, count in enumerate(repeats) if count > 1]
    d = d_y.reshape(pairs)
    return (d.sum(dims) if dims else d).reshape(shape)


@register_map("aten.repeat.default")
class Repeat(Map):
    """y = x, repeats times along each dimension.
    dx = dy summed over the copies
    """

    @staticmethod
    def forward(x: Tensor, repeats: Sequence[int]) -> tuple[Tensor, Any]:
        return x.repeat(tuple(repeats)), (x.shape, repeats)

    @staticmethod
    def vjp(saved: Any, d_y: Tensor) -> tuple[Any, ...]:
        shape, repeats = saved
        return (_summed(d_y, shape, repeats),)


@register_map("aten.tile.default")
class Tile(Map):
    """y = x, dims times along its last dimensions.
    dx = dy summed over the copies
    """

    @staticmethod
    def forward(x: Tensor, dims: Sequence[int]) -> tuple[Tensor, Any]:
        return x.tile(tuple(dims)), (x.shape, [1] * (x.dim() - len(dims)) + list(dims))

    @staticmethod
    def vjp(saved: Any, d_y: Tensor) -> tuple[Any, ...]:
        shape, repeats = saved
        return (_summed(d_y, shape, repeats),)


@register_map("aten.repeat_interleave.self_int")
class RepeatInterleave(Map):
    """y = each element of x along dim, or of x flattened, repeats times.
    dx = dy summed over the copies
    """

    @staticmethod
    def forward(
        x: Tensor,
        repeats: int,
        dim: int | None = None,
        output_size: int | None = None,  # noqa: ARG004
    ) -> tuple[Tensor, Any]:
        return x.repeat_interleave(repeats, dim), (x.shape, repeats, dim)

    @staticmethod
    def vjp(saved: Any, d_y: Tensor) -> tuple[Any, ...]:
        shape, repeats, dim = saved
        flat = 0 if dim is None else dim % max(len(shape), 1)
        return (torch.unflatten(d_y, flat, (-1, repeats)).sum(flat + 1).reshape(shape),)
