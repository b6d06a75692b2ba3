"""Maps that take a section of the elements, or set one. Their VJPs leave zeros outside."""

# ruff: noqa: D102 - the class's docstring holds the equations of both functions

from typing import Any

import torch
from torch import Tensor

from distbp.maps.base import Map
from distbp.maps.registry import register_map

_aten = torch.ops.aten


@register_map("aten.slice.Tensor")
class Slice(Map):
    """y = every step-th element of x along dim, from start to end.
    dx = dy there, else 0
    """

    @staticmethod
    def forward(
        x: Tensor, dim: int = 0, start: int | None = None, end: int | None = None, step: int = 1
    ) -> tuple[Tensor, Any]:
        return _aten.slice(x, dim, start, end, step), (x.shape, dim, start, end, step)

    @staticmethod
    def vjp(saved: Any, d_y: Tensor) -> tuple[Any, ...]:
        shape, dim, start, end, step = saved
        if d_y.shape == shape:
            return (d_y,)
        end = shape[dim] if end is None else end
        return (_aten.slice_backward(d_y, shape, dim, start or 0, end, step),)


@register_map("aten.narrow.default")
class Narrow(Map):
    """y = length elements of x along dim, from start.
    dx = dy there, else 0
    """

    @staticmethod
    def forward(x: Tensor, dim: int, start: int, length: int) -> tuple[Tensor, Any]:
        return x.narrow(dim, start, length), (x.shape, dim, start if start >= 0 else start + x.shape[dim], length)

    @staticmethod
    def vjp(saved: Any, d_y: Tensor) -> tuple[Any, ...]:
        shape, dim, start, length = saved
        return (_aten.slice_backward(d_y, shape, dim, start, start + length, 1),)


@register_map("aten.select.int")
class Select(Map):
    """y = x at index along dim.
    dx = dy there, else 0
    """

    @staticmethod
    def forward(x: Tensor, dim: int, index: int) -> tuple[Tensor, Any]:
        return x.select(dim, index), (x.shape, dim, index)

    @staticmethod
    def vjp(saved: Any, d_y: Tensor) -> tuple[Any, ...]:
        shape, dim, index = saved
        return (_aten.select_backward(d_y, shape, dim, index),)


@register_map("aten.diagonal.default")
class Diagonal(Map):
    """y = the diagonal of x in two of its dimensions.
    dx = dy on the diagonal, else 0
    """

    @staticmethod
    def forward(x: Tensor, offset: int = 0, dim1: int = 0, dim2: int = 1) -> tuple[Tensor, Any]:
        return x.diagonal(offset, dim1, dim2), (x.shape, offset, dim1, dim2)

    @staticmethod
    def vjp(saved: Any, d_y: Tensor) -> tuple[Any, ...]:
        shape, offset, dim1, dim2 = saved
        return (_aten.diagonal_backward(d_y, shape, offset, dim1, dim2),)


@register_map("aten.diag_embed.default")
class DiagonalEmbed(Map):
    """y = matrices in two new dimensions with x on their diagonal, else 0.
    dx = the diagonals of dy
    """

    @staticmethod
    def forward(x: Tensor, offset: int = 0, dim1: int = -2, dim2: int = -1) -> tuple[Tensor, Any]:
        return x.diag_embed(offset, dim1, dim2), (offset, dim1, dim2)

    @staticmethod
    def vjp(saved: Any, d_y: Tensor) -> tuple[Any, ...]:
        return (d_y.diagonal(*saved),)


@register_map("aten.diag.default")
class Diag(Map):
    """y = the diagonal of x, a matrix; the matrix with x on its diagonal, x a vector.
    dx = dy on the diagonal, else 0; the diagonal of dy
    """

    @staticmethod
    def forward(x: Tensor, diagonal: int = 0) -> tuple[Tensor, Any]:
        return x.diag(diagonal), (x.shape, diagonal)

    @staticmethod
    def vjp(saved: Any, d_y: Tensor) -> tuple[Any, ...]:
        shape, diagonal = saved
        if len(shape) == 1:
            return (d_y.diagonal(diagonal),)
        return (_aten.diagonal_backward(d_y, shape, diagonal, 0, 1),)


@register_map("aten.unfold.default")
class Unfold(Map):
    """y = windows of x along dim, each of size elements, step apart, in a new last dimension.
    dx = dy summed over the windows that an element is in
    """

    @staticmethod
    def forward(x: Tensor, dimension: int, size: int, step: int) -> tuple[Tensor, Any]:
        return x.unfold(dimension, size, step), (x.shape, dimension, size, step)

    @staticmethod
    def vjp(saved: Any, d_y: Tensor) -> tuple[Any, ...]:
        shape, dimension, size, step = saved
        return (_aten.unfold_backward(d_y, shape, dimension, size, step),)


@register_map("aten.triu.default")
class UpperTriangle(Map):
    """y = x on and above a diagonal, else 0.
    dx = dy there, else 0
    """

    @staticmethod
    def forward(x: Tensor, diagonal: int = 0) -> tuple[Tensor, int]:
        return torch.triu(x, diagonal), diagonal

    @staticmethod
    def vjp(diagonal: int, d_y: Tensor) -> tuple[Any, ...]:
        return (torch.triu(d_y, diagonal),)


@register_map("aten.tril.default")
class LowerTriangle(Map):
    """y = x on and below a diagonal, else 0.
    dx = dy there, else 0
    """

    @staticmethod
    def forward(x: Tensor, diagonal: int = 0) -> tuple[Tensor, int]:
        return torch.tril(x, diagonal), diagonal

    @staticmethod
    def vjp(diagonal: int, d_y: Tensor) -> tuple[Any, ...]:
        return (torch.tril(d_y, diagonal),)


@register_map("aten.select_scatter.default")
class SelectScatter(Map):
    """y = x, but v at index along dim.
    dx = 0 there, else dy,  dv = dy there
    """

    @staticmethod
    def forward(x: Tensor, value: Tensor, dim: int, index: int) -> tuple[Tensor, Any]:
        return _aten.select_scatter(x, value, dim, index), (dim, index)

    @staticmethod
    def vjp(saved: Any, d_y: Tensor) -> tuple[Any, ...]:
        dim, index = saved
        d_x = d_y.clone()
        d_x.select(dim, index).zero_()
        return d_x, d_y.select(dim, index)


@register_map("aten.slice_scatter.default")
class SliceScatter(Map):
    """y = x, but v at every step-th place along dim, from start to end.
    dx = 0 there, else dy,  dv = dy there
    """

    @staticmethod
    def forward(  # noqa: PLR0917
        x: Tensor, value: Tensor, dim: int = 0, start: int | None = None, end: int | None = None, step: int = 1
    ) -> tuple[Tensor, Any]:
        return _aten.slice_scatter(x, value, dim, start, end, step), (dim, start, end, step)

    @staticmethod
    def vjp(saved: Any, d_y: Tensor) -> tuple[Any, ...]:
        d_x = d_y.clone()
        _aten.slice(d_x, *saved).zero_()
        return d_x, _aten.slice(d_y, *saved)
