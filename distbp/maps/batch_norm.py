"""Batch normalisation (Ioffe and Szegedy 2015): m and s, the mean and standard deviation, over examples and positions.

N examples, C channels, P positions; z is x normalised, g = w dy. The output is not kept.
"""

# ruff: noqa: D102, PLR0917 - the class's docstring holds the equations of both functions; the arguments are the op's

from typing import Any

import torch
from torch import Tensor

from distbp.maps.base import Map
from distbp.maps.norm import layout, present
from distbp.maps.registry import register_map

aten = torch.ops.aten


def _training(_inputs: Any, attributes: Any) -> bool:
    return bool(attributes["training"])


@register_map("aten._native_batch_norm_legit.no_stats", when=_training)
class BatchNorm(Map):
    """y = w z + b, z = (x - m) / s; m; 1/s   (N,C,P) (C) (C) -> (N,C,P) (C) (C).
    dx = (g - mean g - z mean(g z)) / s,  dw = sum z dy,  db = sum dy
    """

    @staticmethod
    def forward(
        x: Tensor, weight: Tensor | None, bias: Tensor | None, training: bool, momentum: float, eps: float
    ) -> tuple[Any, Any]:
        outputs = aten._native_batch_norm_legit.no_stats(x, weight, bias, training, momentum, eps)
        return outputs, (x, weight, bias is None, *outputs[1:], eps)

    @staticmethod
    def vjp(saved: Any, d_outputs: Any) -> tuple[Any, ...]:
        x, weight, plain, m, r, eps = saved
        d_y = d_outputs[0].contiguous(memory_format=layout(x))  # the fast kernels take x and dy in one layout
        mask = [True, weight is not None, not plain]
        return present(aten.native_batch_norm_backward(d_y, x, weight, None, None, m, r, True, eps, mask), mask)


@register_map("aten._native_batch_norm_legit_functional.default", when=_training)
class BatchNormTracked(Map):
    """y = w z + b, z = (x - m) / s; m; 1/s; R + a (m - R), R the running statistics   (N,C,P) 4(C) -> (N,C,P) 4(C).
    dx = (g - mean g - z mean(g z)) / s,  dw = sum z dy,  db = sum dy
    """

    @staticmethod
    def forward(
        x: Tensor, weight: Tensor | None, bias: Tensor | None, running_mean: Tensor, running_var: Tensor,
        training: bool, momentum: float, eps: float,
    ) -> tuple[Any, Any]:  # fmt: skip
        mean, var = running_mean.clone(), running_var.clone()
        outputs = aten._native_batch_norm_legit.default(x, weight, bias, mean, var, training, momentum, eps)
        return (*outputs, mean, var), (x, weight, bias is None, *outputs[1:], eps)

    @staticmethod
    def vjp(saved: Any, d_outputs: Any) -> tuple[Any, ...]:
        return (*BatchNorm.vjp(saved, d_outputs), None, None)


@register_map("aten.batch_norm.default", when=lambda _, attributes: not attributes["training"])
class BatchNormFixed(Map):
    """y = w z + b, z = (x - m) / s, m and s^2 the running statistics   (N,C,P) 4(C) -> (N,C,P).
    dx = w dy / s,  dw = sum z dy,  db = sum dy
    """

    @staticmethod
    def forward(
        x: Tensor, weight: Tensor | None, bias: Tensor | None, running_mean: Tensor, running_var: Tensor,
        training: bool, momentum: float, eps: float, cudnn_enabled: bool,  # noqa: ARG004
    ) -> tuple[Tensor, Any]:  # fmt: skip
        y, _, _ = aten.native_batch_norm(x, weight, bias, running_mean, running_var, False, momentum, eps)
        return y, (x, weight, bias is None, running_mean, running_var, eps)

    @staticmethod
    def vjp(saved: Any, d_y: Tensor) -> tuple[Any, ...]:
        x, weight, plain, mean, var, eps = saved
        scale = (var + eps).rsqrt_()
        scale = scale if weight is None else scale.mul_(weight)
        d_x = d_y * scale.view(-1, *[1] * (d_y.dim() - 2))  # on its own: it does not read x
        if weight is None and plain:
            return d_x, None, None, None, None
        mask = [False, weight is not None, not plain]
        d_y = d_y.contiguous(memory_format=layout(x))
        formed = aten.native_batch_norm_backward(d_y, x, weight, mean, var, None, None, False, eps, mask)
        return d_x, *present(formed, mask)[1:], None, None


@register_map("aten.instance_norm.default", when=lambda _, attributes: not attributes["use_input_stats"])
class InstanceNormFixed(Map):
    """y = w z + b, z = (x - m) / s, m and s^2 the running statistics   (N,C,P) 4(C) -> (N,C,P).
    dx = w dy / s,  dw = sum z dy,  db = sum dy
    """

    @staticmethod
    def forward(
        x: Tensor, weight: Tensor | None, bias: Tensor | None, running_mean: Tensor, running_var: Tensor,
        use_input_stats: bool, momentum: float, eps: float, cudnn_enabled: bool,
    ) -> tuple[Tensor, Any]:  # fmt: skip
        fixed = (use_input_stats, momentum, eps, cudnn_enabled)
        return BatchNormFixed.forward(x, weight, bias, running_mean, running_var, *fixed)

    @staticmethod
    def vjp(saved: Any, d_y: Tensor) -> tuple[Any, ...]:
        return BatchNormFixed.vjp(saved, d_y)
