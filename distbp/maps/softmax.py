"""Softmax and what goes with it, along one dimension; logsumexp along several."""

# ruff: noqa: D102 - the class's docstring holds the equations of both functions

from typing import Any

import torch
from torch import Tensor

from distbp.maps.base import Map
from distbp.maps.registry import register_map


def _same_dtype(inputs: Any, attributes: Any) -> bool:
    return attributes["dtype"] in (None, inputs[0].dtype)


@register_map("aten.softmax.int", when=_same_dtype)
@register_map("aten.special_softmax.default", when=_same_dtype)
class Softmax(Map):
    """y = exp(x) / sum_dim exp(x).
    dx = y (dy - sum_dim y dy)
    """

    @staticmethod
    def forward(x: Tensor, dim: int, dtype: torch.dtype | None = None) -> tuple[Tensor, Any]:  # noqa: ARG004
        y = torch.softmax(x, dim)
        return y, (y, dim)

    @staticmethod
    def vjp(saved: Any, d_y: Tensor) -> tuple[Any, ...]:
        y, dim = saved
        return (torch.ops.aten._softmax_backward_data(d_y, y, dim, y.dtype),)


@register_map("aten.log_softmax.int", when=_same_dtype)
@register_map("aten.special_log_softmax.default", when=_same_dtype)
class LogSoftmax(Map):
    """y = x - log sum_dim exp(x).
    dx = dy - exp(y) sum_dim dy
    """

    @staticmethod
    def forward(x: Tensor, dim: int, dtype: torch.dtype | None = None) -> tuple[Tensor, Any]:  # noqa: ARG004
        y = torch.log_softmax(x, dim)
        return y, (y, dim)

    @staticmethod
    def vjp(saved: Any, d_y: Tensor) -> tuple[Any, ...]:
        y, dim = saved
        return (torch.ops.aten._log_softmax_backward_data(d_y, y, dim, y.dtype),)


@register_map("aten.logsumexp.default")
@register_map("aten.special_logsumexp.default")
class LogSumExp(Map):
    """y = log sum_dim exp(x).
    dx = exp(x - y) dy
    """

    @staticmethod
    def forward(x: Tensor, dim: list[int], keepdim: bool = False) -> tuple[Tensor, Any]:
        y = torch.logsumexp(x, dim, keepdim=True)
        return y if keepdim else y.squeeze(dim or tuple(range(x.dim()))), (x, y)

    @staticmethod
    def vjp(saved: Any, d_y: Tensor) -> tuple[Any, ...]:
        x, y = saved
        return ((x - y).exp_().mul_(d_y.reshape(y.shape)),)
