"""Maps that arrange or repeat elements and compute nothing. Their VJPs put the elements back, or sum the copies."""

# ruff: noqa: D102 - the class's docstring holds the equations of both functions

from collections.abc import Sequence
from typing import Any

import torch
from torch import Size, Tensor

from distbp.maps.base import Map
from distbp.maps.into import Into
from distbp.maps.registry import register_map


@register_map("aten.view.default")
class View(Map):
    """y = x, seen with another shape.
    dx = dy, seen with the shape of x
    """

    @staticmethod
    def forward(x: Tensor, size: Sequence[int]) -> tuple[Tensor, Size]:
        return x.view(size), x.shape

    @staticmethod
    def vjp(shape: Size, d_y: Tensor, into: tuple[Into, ...]) -> tuple[Any, ...]:
        return (into[0].put(d_y.reshape(shape)),)


@register_map("aten.reshape.default")
class Reshape(Map):
    """y = x with another shape, copied only if it must be.
    dx = dy with the shape of x
    """

    @staticmethod
    def forward(x: Tensor, shape: Sequence[int]) -> tuple[Tensor, Size]:
        return x.reshape(shape), x.shape

    @staticmethod
    def vjp(shape: Size, d_y: Tensor, into: tuple[Into, ...]) -> tuple[Any, ...]:
        return (into[0].put(d_y.reshape(shape)),)


@register_map("aten.flatten.using_ints")
class Flatten(Map):
    """y = x with its dimensions from start_dim to end_dim as one.
    dx = dy with the shape of x
    """

    @staticmethod
    def forward(x: Tensor, start_dim: int = 0, end_dim: int = -1) -> tuple[Tensor, Size]:
        return x.flatten(start_dim, end_dim), x.shape

    @staticmethod
    def vjp(shape: Size, d_y: Tensor, into: tuple[Into, ...]) -> tuple[Any, ...]:
        return (into[0].put(d_y.reshape(shape)),)


@register_map("aten.expand.default")
class Expand(Map):
    """y = x, repeated along its dimensions of length 1 and along new leading ones.
    dx = dy summed over the repetitions
    """

    @staticmethod
    def forward(x: Tensor, size: Sequence[int], implicit: bool = False) -> tuple[Tensor, Size]:  # noqa: ARG004
        return x.expand(size), x.shape

    @staticmethod
    def vjp(shape: Size, d_y: Tensor, into: tuple[Into, ...]) -> tuple[Any, ...]:
        return (into[0].fold(d_y, shape),)


@register_map("aten.transpose.int")
class Transpose(Map):
    """y = x with two dimensions exchanged.
    dx = dy with them exchanged again
    """

    @staticmethod
    def forward(x: Tensor, dim0: int, dim1: int) -> tuple[Tensor, Any]:
        return x.transpose(dim0, dim1), (dim0, dim1)

    @staticmethod
    def vjp(dims: Any, d_y: Tensor, into: tuple[Into, ...]) -> tuple[Any, ...]:
        return (into[0].put(d_y.transpose(*dims)),)


@register_map("aten.contiguous.default")
@register_map("aten.alias.default")
class Same(Map):
    """y = x.
    dx = dy
    """

    @staticmethod
    def forward(x: Tensor, memory_format: torch.memory_format = torch.contiguous_format) -> tuple[Tensor, None]:
        return x.contiguous(memory_format=memory_format), None

    @staticmethod
    def vjp(_saved: None, d_y: Tensor, into: tuple[Into, ...]) -> tuple[Any, ...]:
        return (into[0].put(d_y),)
