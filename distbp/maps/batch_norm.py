"""Batch normalisation (Ioffe and Szegedy 2015): m and s, the mean and standard deviation, over examples and positions.

N examples, C channels, P positions; z is x normalised, g = w dy. The output is not kept.
"""

# ruff: noqa: D102, PLR0917 - the class's docstring holds the equations of both functions; the arguments are the op's

from typing import Any

import torch
from torch import Tensor

from distbp.maps.base import Map
from distbp.maps.norm import layout, present, wide
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
        if _rows_of_channels(x):
            y, m, r, _ = _normalised(x, weight, bias, eps)
        else:
            y, m, r = aten._native_batch_norm_legit.no_stats(wide(x), weight, bias, training, momentum, eps)
        return (y.to(x.dtype), m, r), (x, weight, bias is None, m, r, eps)

    @staticmethod
    def vjp(saved: Any, d_outputs: Any) -> tuple[Any, ...]:
        x, weight, plain, m, r, eps = saved
        d_y = d_outputs[0].contiguous(memory_format=layout(x))  # the fast kernels take x and dy in one layout
        mask = [True, weight is not None, not plain]
        if not _rows_of_channels(x):
            told = (wide(d_y), wide(x), weight, None, None, m, r, True, eps, mask)
            return present(aten.native_batch_norm_backward(*told), mask)
        return present(_gradients(x, d_y, weight, m, r), mask)


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
        if _rows_of_channels(x):
            y, m, r, v = _normalised(x, weight, bias, eps)
            count = x.numel() // x.shape[1]
            mean, var = running_mean.lerp(m, momentum), running_var.lerp(v * (count / (count - 1)), momentum)
        else:
            mean, var = running_mean.clone(), running_var.clone()
            y, m, r = aten.native_batch_norm.default(wide(x), weight, bias, mean, var, training, momentum, eps)
        return (y.to(x.dtype), m, r, mean, var), (x, weight, bias is None, m, r, eps)

    @staticmethod
    def vjp(saved: Any, d_outputs: Any) -> tuple[Any, ...]:
        return (*BatchNorm.vjp(saved, d_outputs), None, None)


def _rows_of_channels(x: Tensor) -> bool:
    """Whether torch's kernel for this layout would add up each channel in one float, element by element.

    Over the 65,536 positions of a batch that loses two digits of the statistics, which a deep net multiplies by 1,000.
    """
    return x.dim() == 4 and x.device.type == "cpu" and layout(x) is torch.channels_last


def _normalised(
    x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """y, m, 1/s and s^2, by torch's sums, which add in pairs   (N,C,H,W) (C) (C) -> (N,C,H,W) (C) (C) (C)."""
    n, c, h, w = x.shape
    rows = wide(x).permute(0, 2, 3, 1).view(-1, c)
    m = rows.sum(0).div_(len(rows))
    d = rows - m
    v = (d * d).sum(0).div_(len(rows))
    r = (v + eps).rsqrt_()
    scale = r if weight is None else r * weight
    y = d * scale if bias is None else torch.addcmul(bias, d, scale)
    return y.view(n, h, w, c).permute(0, 3, 1, 2), m, r, v


def _gradients(x: Tensor, d_y: Tensor, weight: Tensor | None, m: Tensor, r: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """dx, dw, db, by the same sums: what a convolution makes of dx cancels unless its mean is zero."""
    n, c, h, w = x.shape
    rows = wide(d_y).permute(0, 2, 3, 1).view(-1, c)
    d = wide(x).permute(0, 2, 3, 1).view(-1, c) - m
    d_b = rows.sum(0)
    d_w = (rows * d).sum(0).mul_(r)
    scale = r if weight is None else r * weight
    g = (rows - d_b / len(rows)).addcmul_(d, d_w * r / -len(rows)).mul_(scale)
    return g.view(n, h, w, c).permute(0, 3, 1, 2), d_w, d_b


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
        y, _, _ = aten.native_batch_norm(wide(x), weight, bias, running_mean, running_var, False, momentum, eps)
        return y.to(x.dtype), (x, weight, bias is None, running_mean, running_var, eps)

    @staticmethod
    def vjp(saved: Any, d_y: Tensor) -> tuple[Any, ...]:
        x, weight, plain, mean, var, eps = saved
        scale = (var + eps).rsqrt_()
        scale = scale if weight is None else scale.mul_(weight)
        d_x = d_y * scale.view(-1, *[1] * (d_y.dim() - 2))  # on its own: it does not read x
        if weight is None and plain:
            return d_x, None, None, None, None
        mask = [False, weight is not None, not plain]
        d_y = wide(d_y).contiguous(memory_format=layout(x))
        formed = aten.native_batch_norm_backward(d_y, wide(x), weight, mean, var, None, None, False, eps, mask)
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
