"""What ops in place leave that overwrite all of a tensor: nothing of it is left."""

# ruff: noqa: D102 - the class's docstring holds the equations of both functions

from typing import Any

import torch
from torch import Tensor

from distbp.maps.base import Map
from distbp.maps.registry import register_map


@register_map("aten.copy.default")
class Copy(Map):
    """y = v, in the shape and the dtype of x.
    dx = 0,  dv = dy, summed over what was broadcast
    """

    @staticmethod
    def forward(x: Tensor, value: Tensor, non_blocking: bool = False) -> tuple[Tensor, Any]:
        return torch.empty_like(x).copy_(value, non_blocking), (value.shape, value.dtype)

    @staticmethod
    def vjp(saved: Any, d_y: Tensor) -> tuple[Any, ...]:
        shape, dtype = saved
        return None, d_y.sum_to_size(shape).to(dtype)


@register_map("aten.fill.Tensor")
class Fill(Map):
    """y = v, a number, in the shape and the dtype of x.
    dx = 0,  dv = sum(dy)
    """

    @staticmethod
    def forward(x: Tensor, value: Tensor) -> tuple[Tensor, torch.dtype]:
        return torch.ops.aten.fill(x, value), value.dtype

    @staticmethod
    def vjp(dtype: torch.dtype, d_y: Tensor) -> tuple[Any, ...]:
        return None, d_y.sum().to(dtype)


@register_map("aten.fill.Scalar")
class FillWith(Map):
    """y = c, in the shape and the dtype of x.
    dx = 0
    """

    @staticmethod
    def forward(x: Tensor, value: float) -> tuple[Tensor, None]:
        return torch.ops.aten.fill(x, value), None

    @staticmethod
    def vjp(_saved: None, _d_y: Tensor) -> tuple[Any, ...]:
        return (None,)
