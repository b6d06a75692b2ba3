"""Largest and smallest values over dimensions, where the elements that share one share its gradient too."""

# ruff: noqa: D102 - the class's docstring holds the equations of both functions

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from distbp.maps.base import Map
from distbp.maps.reduce import kept
from distbp.maps.registry import register_map


def _shared(saved: Any, d_y: Tensor) -> Tensor:
    """dy in equal parts to the elements that are y."""
    x, y, dim = saved
    small = kept(x.shape, dim)
    ties = x == y.reshape(small)
    count = ties.sum([i for i, n in enumerate(small) if n != x.shape[i]], keepdim=True) if small != [*x.shape] else ties
    d_x: Tensor = ties * (d_y.reshape(small) / count)
    return d_x


@register_map("aten.amax.default")
class Largest(Map):
    """y = max_dim x.
    dx = dy in equal parts where x = y, else 0
    """

    @staticmethod
    def forward(x: Tensor, dim: Sequence[int] = (), keepdim: bool = False) -> tuple[Tensor, Any]:
        y = torch.amax(x, tuple(dim), keepdim)
        return y, (x, y, dim)

    @staticmethod
    def vjp(saved: Any, d_y: Tensor) -> tuple[Any, ...]:
        return (_shared(saved, d_y),)


@register_map("aten.max.default")
class LargestOfAll(Map):
    """y = max x   (...) -> ().
    dx = dy in equal parts where x = y, else 0
    """

    @staticmethod
    def forward(x: Tensor) -> tuple[Tensor, Any]:
        y = torch.max(x)
        return y, (x, y, ())

    @staticmethod
    def vjp(saved: Any, d_y: Tensor) -> tuple[Any, ...]:
        return (_shared(saved, d_y),)


@register_map("aten.amin.default")
class Smallest(Map):
    """y = min_dim x.
    dx = dy in equal parts where x = y, else 0
    """

    @staticmethod
    def forward(x: Tensor, dim: Sequence[int] = (), keepdim: bool = False) -> tuple[Tensor, Any]:
        y = torch.amin(x, tuple(dim), keepdim)
        return y, (x, y, dim)

    @staticmethod
    def vjp(saved: Any, d_y: Tensor) -> tuple[Any, ...]:
        return (_shared(saved, d_y),)


@register_map("aten.min.default")
class SmallestOfAll(Map):
    """y = min x   (...) -> ().
    dx = dy in equal parts where x = y, else 0
    """

    @staticmethod
    def forward(x: Tensor) -> tuple[Tensor, Any]:
        y = torch.min(x)
        return y, (x, y, ())

    @staticmethod
    def vjp(saved: Any, d_y: Tensor) -> tuple[Any, ...]:
        return (_shared(saved, d_y),)
