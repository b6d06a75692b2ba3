"""Maps that pick elements by their rank along a dimension, and say which: (y, i) = (x at i, i)."""

# ruff: noqa: D102 - the class's docstring holds the equations of both functions

from typing import Any

import torch
from torch import Tensor

from distbp.maps.base import Map
from distbp.maps.registry import register_map


def _picked(y: Tensor, index: Tensor, x: Tensor, dim: int, keepdim: bool = True) -> tuple[tuple[Tensor, Tensor], Any]:
    return (y, index), (index, x.shape, dim, keepdim)


def _returned(saved: Any, d_outputs: tuple[Tensor | None, ...]) -> Tensor:
    """dy at the elements that were picked, each once, else 0."""
    index, shape, dim, keepdim = saved
    d_y = d_outputs[0]
    assert d_y is not None
    if not keepdim and len(shape):
        index, d_y = index.unsqueeze(dim), d_y.unsqueeze(dim)
    return torch.scatter(d_y.new_zeros(shape), dim, index, d_y)


@register_map("aten.max.dim")
class Max(Map):
    """y = the largest element of x along dim.
    dx = dy where x was picked, else 0
    """

    @staticmethod
    def forward(x: Tensor, dim: int, keepdim: bool = False) -> tuple[tuple[Tensor, Tensor], Any]:
        return _picked(*torch.max(x, dim, keepdim), x, dim, keepdim)

    @staticmethod
    def vjp(saved: Any, d_outputs: tuple[Tensor | None, ...]) -> tuple[Any, ...]:
        return (_returned(saved, d_outputs),)


@register_map("aten.min.dim")
class Min(Map):
    """y = the smallest element of x along dim.
    dx = dy where x was picked, else 0
    """

    @staticmethod
    def forward(x: Tensor, dim: int, keepdim: bool = False) -> tuple[tuple[Tensor, Tensor], Any]:
        return _picked(*torch.min(x, dim, keepdim), x, dim, keepdim)

    @staticmethod
    def vjp(saved: Any, d_outputs: tuple[Tensor | None, ...]) -> tuple[Any, ...]:
        return (_returned(saved, d_outputs),)


@register_map("aten.median.dim")
class Median(Map):
    """y = the median of x along dim.
    dx = dy where x was picked, else 0
    """

    @staticmethod
    def forward(x: Tensor, dim: int, keepdim: bool = False) -> tuple[tuple[Tensor, Tensor], Any]:
        return _picked(*torch.median(x, dim, keepdim), x, dim, keepdim)

    @staticmethod
    def vjp(saved: Any, d_outputs: tuple[Tensor | None, ...]) -> tuple[Any, ...]:
        return (_returned(saved, d_outputs),)


@register_map("aten.kthvalue.default")
class KthValue(Map):
    """y = the k-th smallest element of x along dim.
    dx = dy where x was picked, else 0
    """

    @staticmethod
    def forward(x: Tensor, k: int, dim: int = -1, keepdim: bool = False) -> tuple[tuple[Tensor, Tensor], Any]:
        return _picked(*torch.kthvalue(x, k, dim, keepdim), x, dim, keepdim)

    @staticmethod
    def vjp(saved: Any, d_outputs: tuple[Tensor | None, ...]) -> tuple[Any, ...]:
        return (_returned(saved, d_outputs),)


@register_map("aten.topk.default")
class TopK(Map):
    """y = the k largest or smallest elements of x along dim.
    dx = dy where x was picked, else 0
    """

    @staticmethod
    def forward(
        x: Tensor, k: int, dim: int = -1, largest: bool = True, sorted: bool = True
    ) -> tuple[tuple[Tensor, Tensor], Any]:
        return _picked(*torch.topk(x, k, dim, largest, sorted), x, dim)

    @staticmethod
    def vjp(saved: Any, d_outputs: tuple[Tensor | None, ...]) -> tuple[Any, ...]:
        return (_returned(saved, d_outputs),)


@register_map("aten.sort.default")
class Sort(Map):
    """y = x in order along dim.
    dx = dy where x was picked, else 0
    """

    @staticmethod
    def forward(x: Tensor, dim: int = -1, descending: bool = False) -> tuple[tuple[Tensor, Tensor], Any]:
        return _picked(*torch.sort(x, dim, descending), x, dim)

    @staticmethod
    def vjp(saved: Any, d_outputs: tuple[Tensor | None, ...]) -> tuple[Any, ...]:
        return (_returned(saved, d_outputs),)


@register_map("aten.sort.stable")
class StableSort(Map):
    """y = x in order, equal elements as they came along dim.
    dx = dy where x was picked, else 0
    """

    @staticmethod
    def forward(
        x: Tensor, stable: bool | None, dim: int = -1, descending: bool = False
    ) -> tuple[tuple[Tensor, Tensor], Any]:
        return _picked(*torch.sort(x, stable=bool(stable), dim=dim, descending=descending), x, dim)

    @staticmethod
    def vjp(saved: Any, d_outputs: tuple[Tensor | None, ...]) -> tuple[Any, ...]:
        return (_returned(saved, d_outputs),)
