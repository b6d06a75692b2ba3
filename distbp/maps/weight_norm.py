"""Weight normalisation (Salimans and Kingma 2016): a weight as length and direction. O outputs, I inputs of each."""

# ruff: noqa: D102 - the class's docstring holds the equations of both functions

from typing import Any

import torch
from torch import Tensor

from distbp.maps.base import Map
from distbp.maps.registry import register_map

aten = torch.ops.aten


def _outermost(inputs: Any, attributes: Any) -> bool:
    return attributes["dim"] in {0, len(inputs[0].shape) - 1}


@register_map("aten._weight_norm.default")
class WeightNorm(Map):
    """W = g v / |v|, a length |v| for each index of one dimension, or one length for all   (O,I) (O,1) -> (O,I).
    dg = sum dW v / |v|,  dv = g / |v| (dW - v sum(dW v) / |v|^2)
    """

    @staticmethod
    def forward(v: Tensor, g: Tensor, dim: int = 0) -> tuple[Tensor, Any]:
        axes = [axis for axis in range(v.dim()) if axis != dim]
        length = torch.linalg.vector_norm(v, dim=axes, keepdim=True)
        scale = g / length
        return v * scale, (v, length, scale, g.shape, axes)

    @staticmethod
    def vjp(saved: Any, d_W: Tensor) -> tuple[Any, ...]:
        v, length, scale, shape, axes = saved
        along = (d_W * v).sum(axes, keepdim=True) / length
        d_v = torch.addcmul(d_W, v, along / length, value=-1).mul_(scale)
        return d_v, along.view(shape)


@register_map("aten._weight_norm.default", when=_outermost)
class WeightNormOutermost(Map):
    """W = g v / |v|, a length |v| for each index of the first or the last dimension   (O,I) (O,1) -> (O,I).
    dg = sum dW v / |v|,  dv = g / |v| (dW - v sum(dW v) / |v|^2)
    """

    @staticmethod
    def forward(v: Tensor, g: Tensor, dim: int = 0) -> tuple[Tensor, Any]:
        v, g = v.contiguous(), g.contiguous()
        W, length = aten._weight_norm_interface(v, g, dim)
        return W, (v, g, length, dim)

    @staticmethod
    def vjp(saved: Any, d_W: Tensor) -> tuple[Any, ...]:
        d_v, d_g = aten._weight_norm_interface_backward(d_W.contiguous(), *saved)
        return d_v, d_g
