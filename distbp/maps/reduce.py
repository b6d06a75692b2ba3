"""Maps that sum or average over dimensions. M is the number of elements that fall into one."""

# ruff: noqa: D102 - the class's docstring holds the equations of both functions

from typing import Any

import torch
from torch import Tensor

from distbp.maps.base import Map
from distbp.maps.into import Into
from distbp.maps.registry import register_map


def _same_dtype(_inputs: Any, attributes: Any) -> bool:
    return attributes["dtype"] is None


@register_map("aten.sum.default", when=_same_dtype)
class SumAll(Map):
    """y = sum x   (...) -> ().
    dx = dy everywhere
    """

    @staticmethod
    def forward(x: Tensor) -> tuple[Tensor, Any]:
        return torch.sum(x), x.shape

    @staticmethod
    def vjp(shape: Any, d_y: Tensor, into: tuple[Into, ...]) -> tuple[Any, ...]:
        return (into[0].put(d_y.expand(shape)),)


@register_map("aten.mean.default", when=_same_dtype)
class MeanAll(Map):
    """y = sum x / M   (...) -> ().
    dx = dy / M everywhere
    """

    @staticmethod
    def forward(x: Tensor) -> tuple[Tensor, Any]:
        return torch.mean(x), (x.shape, x.numel())

    @staticmethod
    def vjp(saved: Any, d_y: Tensor, into: tuple[Into, ...]) -> tuple[Any, ...]:
        shape, count = saved
        return (into[0].put((d_y / count).expand(shape)),)


@register_map("aten.sum.dim_IntList", when=lambda i, a: _same_dtype(i, a) and bool(a["dim"]))
class SumOver(Map):
    """y = sum_dim x.
    dx = dy, repeated along dim
    """

    @staticmethod
    def forward(x: Tensor, dim: list[int], keepdim: bool = False) -> tuple[Tensor, Any]:
        kept = torch.sum(x, dim, keepdim=True)
        return kept if keepdim else kept.squeeze(tuple(dim)), (x.shape, kept.shape)

    @staticmethod
    def vjp(saved: Any, d_y: Tensor, into: tuple[Into, ...]) -> tuple[Any, ...]:
        shape, kept = saved
        return (into[0].put(d_y.reshape(kept).expand(shape)),)


@register_map("aten.mean.dim", when=lambda i, a: _same_dtype(i, a) and bool(a["dim"]))
class MeanOver(Map):
    """y = sum_dim x / M.
    dx = dy / M, repeated along dim
    """

    @staticmethod
    def forward(x: Tensor, dim: list[int], keepdim: bool = False) -> tuple[Tensor, Any]:
        kept = torch.mean(x, dim, keepdim=True)
        return kept if keepdim else kept.squeeze(tuple(dim)), (x.shape, kept.shape, x.numel() / max(kept.numel(), 1))

    @staticmethod
    def vjp(saved: Any, d_y: Tensor, into: tuple[Into, ...]) -> tuple[Any, ...]:
        shape, kept, count = saved
        return (into[0].put((d_y / count).reshape(kept).expand(shape)),)
