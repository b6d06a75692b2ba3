"""Maps that read or write elements by number. A number may occur twice: then gradients add up, always in one order."""

# ruff: noqa: D102 - the class's docstring holds the equations of both functions

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Size, Tensor

from distbp.maps.base import Map
from distbp.maps.registry import register_map

Indices = Sequence[Tensor | None]


def _integers(indices: Indices) -> bool:
    return all(i is None or i.dtype in (torch.int64, torch.int32) for i in indices)


def _block(indices: Indices) -> tuple[list[int], int, int]:
    """The dimensions that are indexed; where those of the indices come to lie in the result, and their number."""
    dims = [i for i, index in enumerate(indices) if index is not None]
    together = dims[-1] - dims[0] == len(dims) - 1
    return dims, dims[0] if together else 0, max(index.dim() for index in indices if index is not None)


def _rows(indices: Indices, dims: Sequence[int], shape: Size) -> Tensor:
    """The indices as one number each, of a row in x with its indexed dimensions as one."""
    number: Tensor | None = None
    for dim in dims:
        index = indices[dim]
        assert index is not None
        index = torch.where(index < 0, index + shape[dim], index)
        number = index if number is None else number * shape[dim] + index
    assert number is not None
    return number


def _accumulated(d_y: Tensor, indices: Indices, shape: Size) -> Tensor:
    """dx of ``x[indices]``. The kernel of embeddings adds up in order, and in parallel; index_put's is atomic."""
    dims, place, depth = _block(indices)
    front = d_y.movedim([*range(place, place + depth)], [*range(depth)])
    rest = [n for i, n in enumerate(shape) if i not in dims]
    indexed = [shape[dim] for dim in dims]
    numbers = _rows(indices, dims, shape).reshape(-1)
    rows = front.reshape(numbers.numel(), math.prod(rest))
    d_x: Tensor = torch.ops.aten.embedding_dense_backward(rows, numbers, math.prod(indexed), -1, False)
    return d_x.view(indexed + rest).movedim([*range(len(dims))], dims)


@register_map("aten.index.Tensor", when=lambda inputs, _: _integers(inputs[1]) and 0 not in inputs[0].shape)
class Index(Map):
    """y = x[i, j, ...], i, j, ... integers or None for all of a dimension.
    dx = dy, added up where it was read from
    """

    @staticmethod
    def forward(x: Tensor, indices: Indices) -> tuple[Tensor, Any]:
        return torch.ops.aten.index(x, list(indices)), (indices, x.shape)

    @staticmethod
    def vjp(saved: Any, d_y: Tensor) -> tuple[Any, ...]:
        indices, shape = saved
        return _accumulated(d_y, indices, shape), (None,) * len(indices)


@register_map("aten.index_select.default", when=lambda inputs, _: bool(inputs[0].shape) and 0 not in inputs[0].shape)
class IndexSelect(Map):
    """y = x at the numbers i along dim.
    dx = dy, added up where it was read from
    """

    @staticmethod
    def forward(x: Tensor, index: Tensor, dim: int) -> tuple[Tensor, Any]:
        return torch.index_select(x, dim, index), (index, x.shape, dim % x.dim())

    @staticmethod
    def vjp(saved: Any, d_y: Tensor) -> tuple[Any, ...]:
        index, shape, dim = saved
        return _accumulated(d_y, (*(None,) * dim, index.reshape(-1)), shape), None


def _scattered(d_y: Tensor, index: Tensor, shape: Sequence[int], dim: int) -> Tensor:
    """dx of ``gather(x, dim, index)``."""
    zeros = d_y.new_zeros(shape)
    if not shape or index.shape[dim] <= 1:  # nothing to add up
        return torch.scatter(zeros, dim, index, d_y)
    return added(zeros, index, d_y, dim)


def added(x: Tensor, index: Tensor, source: Tensor, dim: int) -> Tensor:
    """x plus source at index along dim."""
    if not x.is_cuda or not x.dim():
        return torch.scatter_add(x, dim, index, source)
    own = torch.meshgrid(*(torch.arange(n, device=x.device) for n in index.shape), indexing="ij")  # scatter is atomic
    inside = source[tuple(slice(n) for n in index.shape)]
    return x.index_put([*own[:dim], index, *own[dim:][1:]], inside, accumulate=True)


@register_map("aten.gather.default")
class Gather(Map):
    """y = x at the number i along dim, i of the shape of y.
    dx = dy, added up where it was read from
    """

    @staticmethod
    def forward(x: Tensor, index: Tensor, dim: int, sparse_grad: bool = False) -> tuple[Tensor, Any]:  # noqa: ARG004
        return torch.gather(x, dim, index), (index, x.shape, dim)

    @staticmethod
    def vjp(saved: Any, d_y: Tensor) -> tuple[Any, ...]:
        index, shape, dim = saved
        return _scattered(d_y, index, shape, dim), None


@register_map("aten.take_along_dim.default")
class TakeAlong(Map):
    """y = x at the number i along dim, x and i broadcast; along x flattened without dim.
    dx = dy, added up where it was read from and over what was broadcast
    """

    @staticmethod
    def forward(x: Tensor, index: Tensor, dim: int | None = None) -> tuple[Tensor, Any]:
        return torch.take_along_dim(x, index, dim), (index, x.shape, dim)

    @staticmethod
    def vjp(saved: Any, d_y: Tensor) -> tuple[Any, ...]:
        index, shape, dim = saved
        if dim is None:
            return _scattered(d_y, index.reshape(-1), [shape.numel()], 0).view(shape), None
        wide = list(d_y.shape)
        wide[dim] = shape[dim]
        return _scattered(d_y, index.expand(d_y.shape), wide, dim).sum_to_size(shape), None


@register_map("aten.scatter.src", when=lambda inputs, _: inputs[1].shape == inputs[2].shape)
class Scatter(Map):
    """y = x, but v at the number i along dim; no number twice.
    dx = 0 there, else dy,  dv = dy there
    """

    @staticmethod
    def forward(x: Tensor, index: Tensor, value: Tensor, dim: int) -> tuple[Tensor, Any]:
        return torch.scatter(x, dim, index, value), (index, dim)

    @staticmethod
    def vjp(saved: Any, d_y: Tensor) -> tuple[Any, ...]:
        index, dim = saved
        return torch.scatter(d_y, dim, index, 0), None, torch.gather(d_y, dim, index)


@register_map("aten.scatter.value")
class ScatterNumber(Map):
    """y = x, but one number at the number i along dim.
    dx = 0 there, else dy
    """

    @staticmethod
    def forward(x: Tensor, index: Tensor, dim: int, value: float) -> tuple[Tensor, Any]:
        return torch.scatter(x, dim, index, value), (index, dim)

    @staticmethod
    def vjp(saved: Any, d_y: Tensor) -> tuple[Any, ...]:
        index, dim = saved
        return torch.scatter(d_y, dim, index, 0), None


@register_map("aten.scatter_add.default", when=lambda inputs, _: inputs[1].shape == inputs[2].shape)
class ScatterAdd(Map):
    """y = x, plus v at the number i along dim.
    dx = dy,  dv = dy there
    """

    @staticmethod
    def forward(x: Tensor, index: Tensor, value: Tensor, dim: int) -> tuple[Tensor, Any]:
        return added(x, index, value, dim), (index, dim)

    @staticmethod
    def vjp(saved: Any, d_y: Tensor) -> tuple[Any, ...]:
        index, dim = saved
        return d_y, None, torch.gather(d_y, dim, index)


@register_map("aten.index_add.default", when=lambda inputs, _: bool(inputs[0].shape))
class IndexAdd(Map):
    """y = x, plus alpha v at the numbers i along dim.
    dx = dy,  dv = alpha dy there
    """

    @staticmethod
    def forward(x: Tensor, index: Tensor, value: Tensor, dim: int, alpha: float = 1) -> tuple[Tensor, Any]:
        saved = (index, dim, alpha)
        if not x.is_cuda:
            return torch.index_add(x, dim, index, value, alpha=alpha), saved
        places = [None] * (dim % x.dim()) + [index]
        return torch.ops.aten.index_put(x, places, value * alpha, True), saved  # index_add is atomic

    @staticmethod
    def vjp(saved: Any, d_y: Tensor) -> tuple[Any, ...]:
        index, dim, alpha = saved
        d = d_y.index_select(dim, index)
        return d_y, None, d if alpha == 1 else d.mul_(alpha)


def _one_mask(inputs: Any, attributes: Any) -> bool:
    mask, value = inputs[1][0], inputs[2]
    return (
        len(inputs[1]) == 1
        and mask is not None
        and mask.dtype == torch.bool
        and not value.shape
        and not attributes["accumulate"]
    )


@register_map("aten.index_put.default", when=lambda inputs, _: _integers(inputs[1]))
class IndexPut(Map):
    """y = x, but v at x[i, j, ...], or with accumulate plus v; without it, no place twice.
    dx = 0 there, else dy, or with accumulate dy,  dv = dy there, summed over what was broadcast
    """

    @staticmethod
    def forward(x: Tensor, indices: Indices, value: Tensor, accumulate: bool = False) -> tuple[Tensor, Any]:
        saved = (indices, value.shape, accumulate)
        if accumulate:
            places = torch.ops.aten.index(x, list(indices))  # for its shape alone
            return x + _accumulated(value.expand_as(places), indices, x.shape), saved
        return torch.ops.aten.index_put(x, list(indices), value), saved

    @staticmethod
    def vjp(saved: Any, d_y: Tensor) -> tuple[Any, ...]:
        indices, shape, accumulate = saved
        d_x = d_y if accumulate else torch.ops.aten.index_put(d_y, list(indices), d_y.new_zeros(()))
        return d_x, (None,) * len(indices), torch.ops.aten.index(d_y, list(indices)).sum_to_size(shape)


@register_map("aten.index_put.default", when=_one_mask)
class MaskPut(Map):
    """y = v where m, else x, v of no dimension, m of the leading dimensions of x.
    dx = 0 where m, else dy,  dv = the sum of dy where m
    """

    @staticmethod
    def forward(x: Tensor, masks: Sequence[Tensor], value: Tensor, accumulate: bool = False) -> tuple[Tensor, Any]:  # noqa: ARG004
        mask = masks[0].reshape(masks[0].shape + (1,) * (x.dim() - masks[0].dim()))
        return torch.where(mask, value, x), mask

    @staticmethod
    def vjp(mask: Tensor, d_y: Tensor) -> tuple[Any, ...]:
        return d_y.masked_fill(mask, 0), (None,), torch.where(mask, d_y, 0).sum()
