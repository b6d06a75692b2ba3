"""Maps that see the same elements with another shape. Nothing is computed; copies are made only if they must be."""

# ruff: noqa: D102 - the class's docstring holds the equations of both functions

from collections.abc import Sequence
from typing import Any

import torch
from torch import Size, Tensor

from distbp.maps.base import Map
from distbp.maps.registry import register_map


@register_map("aten.view.default")
class View(Map):
    """y = x, seen with another shape.
    dx = dy with the shape of x
    """

    @staticmethod
    def forward(x: Tensor, size: Sequence[int]) -> tuple[Tensor, Size]:
        return x.reshape(size), x.shape  # a program may have laid x out in another way

    @staticmethod
    def vjp(shape: Size, d_y: Tensor) -> tuple[Any, ...]:
        return (d_y.reshape(shape),)


@register_map("aten.reshape.default")
class Reshape(Map):
    """y = x with another shape.
    dx = dy with the shape of x
    """

    @staticmethod
    def forward(x: Tensor, shape: Sequence[int]) -> tuple[Tensor, Size]:
        return x.reshape(shape), x.shape

    @staticmethod
    def vjp(shape: Size, d_y: Tensor) -> tuple[Any, ...]:
        return (d_y.reshape(shape),)


@register_map("aten.flatten.using_ints")
class Flatten(Map):
    """y = x with its dimensions from start_dim to end_dim as one.
    dx = dy with the shape of x
    """

    @staticmethod
    def forward(x: Tensor, start_dim: int = 0, end_dim: int = -1) -> tuple[Tensor, Size]:
        return x.flatten(start_dim, end_dim), x.shape

    @staticmethod
    def vjp(shape: Size, d_y: Tensor) -> tuple[Any, ...]:
        return (d_y.reshape(shape),)


@register_map("aten.unflatten.int")
class Unflatten(Map):
    """y = x with dimension dim as several.
    dx = dy with the shape of x
    """

    @staticmethod
    def forward(x: Tensor, dim: int, sizes: Sequence[int]) -> tuple[Tensor, Size]:
        return torch.unflatten(x, dim, tuple(sizes)), x.shape

    @staticmethod
    def vjp(shape: Size, d_y: Tensor) -> tuple[Any, ...]:
        return (d_y.reshape(shape),)


@register_map("aten.ravel.default")
class Ravel(Map):
    """y = x with all its dimensions as one.
    dx = dy with the shape of x
    """

    @staticmethod
    def forward(x: Tensor) -> tuple[Tensor, Size]:
        return x.ravel(), x.shape

    @staticmethod
    def vjp(shape: Size, d_y: Tensor) -> tuple[Any, ...]:
        return (d_y.reshape(shape),)


@register_map("aten.squeeze.default")
class Squeeze(Map):
    """y = x without its dimensions of length 1.
    dx = dy with the shape of x
    """

    @staticmethod
    def forward(x: Tensor) -> tuple[Tensor, Size]:
        return x.squeeze(), x.shape

    @staticmethod
    def vjp(shape: Size, d_y: Tensor) -> tuple[Any, ...]:
        return (d_y.reshape(shape),)


@register_map("aten.squeeze.dim")
class SqueezeOne(Map):
    """y = x without dimension dim, if that is of length 1.
    dx = dy with the shape of x
    """

    @staticmethod
    def forward(x: Tensor, dim: int) -> tuple[Tensor, Size]:
        return x.squeeze(dim), x.shape

    @staticmethod
    def vjp(shape: Size, d_y: Tensor) -> tuple[Any, ...]:
        return (d_y.reshape(shape),)


@register_map("aten.squeeze.dims")
class SqueezeSome(Map):
    """y = x without those dimensions of dim that are of length 1.
    dx = dy with the shape of x
    """

    @staticmethod
    def forward(x: Tensor, dim: Sequence[int]) -> tuple[Tensor, Size]:
        return x.squeeze(tuple(dim)), x.shape

    @staticmethod
    def vjp(shape: Size, d_y: Tensor) -> tuple[Any, ...]:
        return (d_y.reshape(shape),)


@register_map("aten.unsqueeze.default")
class Unsqueeze(Map):
    """y = x with a dimension of length 1 before dim.
    dx = dy with the shape of x
    """

    @staticmethod
    def forward(x: Tensor, dim: int) -> tuple[Tensor, Size]:
        return x.unsqueeze(dim), x.shape

    @staticmethod
    def vjp(shape: Size, d_y: Tensor) -> tuple[Any, ...]:
        return (d_y.reshape(shape),)


@register_map("aten.view_as.default")
class ViewAs(Map):
    """y = x with the shape of z.
    dx = dy with the shape of x
    """

    @staticmethod
    def forward(x: Tensor, other: Tensor) -> tuple[Tensor, Size]:
        return x.reshape(other.shape), x.shape

    @staticmethod
    def vjp(shape: Size, d_y: Tensor) -> tuple[Any, ...]:
        return (d_y.reshape(shape), None)


@register_map("aten.reshape_as.default")
class ReshapeAs(Map):
    """y = x with the shape of z.
    dx = dy with the shape of x
    """

    @staticmethod
    def forward(x: Tensor, other: Tensor) -> tuple[Tensor, Size]:
        return x.reshape_as(other), x.shape

    @staticmethod
    def vjp(shape: Size, d_y: Tensor) -> tuple[Any, ...]:
        return (d_y.reshape(shape), None)
