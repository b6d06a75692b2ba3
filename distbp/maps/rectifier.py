"""Activations in two or three pieces. Where the output tells the piece, it is kept, not the input."""

# ruff: noqa: D102 - the class's docstring holds the equations of both functions

from typing import Any

import torch
from torch import Tensor

from distbp.maps.base import Map
from distbp.maps.registry import register_map

_aten = torch.ops.aten


@register_map("aten.relu.default")
class Relu(Map):
    """y = max(x, 0).
    dx = dy where y > 0, else 0
    """

    @staticmethod
    def forward(x: Tensor) -> tuple[Tensor, Tensor]:
        y = torch.clamp_min(x, 0)  # relu itself, which has no out=
        return y, y

    @staticmethod
    def vjp(y: Tensor, d_y: Tensor) -> tuple[Any, ...]:
        return (_aten.threshold_backward(d_y, y, 0),)


@register_map("aten.relu6.default")
class Relu6(Map):
    """y = min(max(x, 0), 6).
    dx = dy where 0 < y < 6, else 0
    """

    @staticmethod
    def forward(x: Tensor) -> tuple[Tensor, Tensor]:
        y = _aten.hardtanh(x, 0, 6)
        return y, y

    @staticmethod
    def vjp(y: Tensor, d_y: Tensor) -> tuple[Any, ...]:
        return (_aten.hardtanh_backward(d_y, y, 0, 6),)


@register_map("aten.hardtanh.default")
class HardTanh(Map):
    """y = min(max(x, l), u).
    dx = dy where l < y < u, else 0
    """

    @staticmethod
    def forward(x: Tensor, min_val: float = -1, max_val: float = 1) -> tuple[Tensor, Any]:
        y = _aten.hardtanh(x, min_val, max_val)
        return y, (y, min_val, max_val)

    @staticmethod
    def vjp(saved: Any, d_y: Tensor) -> tuple[Any, ...]:
        y, min_val, max_val = saved
        return (_aten.hardtanh_backward(d_y, y, min_val, max_val),)


@register_map("aten.hardswish.default")
class HardSwish(Map):
    """y = x min(max(x + 3, 0), 6) / 6.
    dx = 0 where x <= -3, dy where x >= 3, else (x / 3 + 1 / 2) dy
    """

    @staticmethod
    def forward(x: Tensor) -> tuple[Tensor, Tensor]:
        return _aten.hardswish(x), x

    @staticmethod
    def vjp(x: Tensor, d_y: Tensor) -> tuple[Any, ...]:
        return (_aten.hardswish_backward(d_y, x),)


@register_map("aten.hardsigmoid.default")
class HardSigmoid(Map):
    """y = min(max(x + 3, 0), 6) / 6.
    dx = dy / 6 where -3 < x < 3, else 0
    """

    @staticmethod
    def forward(x: Tensor) -> tuple[Tensor, Tensor]:
        return _aten.hardsigmoid(x), x

    @staticmethod
    def vjp(x: Tensor, d_y: Tensor) -> tuple[Any, ...]:
        return (_aten.hardsigmoid_backward(d_y, x),)


@register_map("aten.hardshrink.default")
class HardShrink(Map):
    """y = 0 where |x| <= l, else x.
    dx = 0 where y = 0, else dy
    """

    @staticmethod
    def forward(x: Tensor, lambd: float = 0.5) -> tuple[Tensor, Tensor]:
        y = _aten.hardshrink(x, lambd)
        return y, y

    @staticmethod
    def vjp(y: Tensor, d_y: Tensor) -> tuple[Any, ...]:
        return (_aten.hardshrink_backward(d_y, y, 0),)


@register_map("aten.softshrink.default")
class SoftShrink(Map):
    """y = 0 where |x| <= l, else x - l sign(x).
    dx = 0 where y = 0, else dy
    """

    @staticmethod
    def forward(x: Tensor, lambd: float = 0.5) -> tuple[Tensor, Tensor]:
        y = _aten.softshrink(x, lambd)
        return y, y

    @staticmethod
    def vjp(y: Tensor, d_y: Tensor) -> tuple[Any, ...]:
        return (_aten.softshrink_backward(d_y, y, 0),)


@register_map("aten.threshold.default")
class Threshold(Map):
    """y = x where x > t, else a number.
    dx = dy where x > t, else 0
    """

    @staticmethod
    def forward(x: Tensor, threshold: float, value: float) -> tuple[Tensor, Any]:
        return _aten.threshold(x, threshold, value), (x, threshold)

    @staticmethod
    def vjp(saved: Any, d_y: Tensor) -> tuple[Any, ...]:
        x, threshold = saved
        return (_aten.threshold_backward(d_y, x, threshold),)


@register_map("aten.leaky_relu.default")
class LeakyRelu(Map):
    """y = x where x > 0, else c x.
    dx = dy where x > 0, else c dy
    """

    @staticmethod
    def forward(x: Tensor, negative_slope: float = 0.01) -> tuple[Tensor, Any]:
        y = _aten.leaky_relu(x, negative_slope)
        return y, (y if negative_slope >= 0 else x, negative_slope)

    @staticmethod
    def vjp(saved: Any, d_y: Tensor) -> tuple[Any, ...]:
        kept, slope = saved
        return (_aten.leaky_relu_backward(d_y, kept, slope, slope >= 0),)


@register_map("aten.prelu.default")
class Prelu(Map):
    """y = x where x > 0, else w x, w one number or one for each channel   (N,C,...), (C) -> (N,C,...).
    dx = dy where x > 0, else w dy,  dw = the sum of x dy where x <= 0
    """

    @staticmethod
    def forward(x: Tensor, weight: Tensor) -> tuple[Tensor, Any]:
        return torch.prelu(x, weight), (x, weight)

    @staticmethod
    def vjp(saved: Any, d_y: Tensor) -> tuple[Any, ...]:
        x, weight = saved
        spread = weight.reshape(
            [-1 if dim == 1 else 1 for dim in range(x.dim())] if weight.numel() > 1 else [1] * x.dim()
        )
        d_x, d_w = _aten._prelu_kernel_backward(d_y, x, spread)
        return d_x, d_w.sum_to_size(spread.shape).reshape(weight.shape)


@register_map("aten.elu.default")
class Elu(Map):
    """y = s x where x > 0, else s a (exp(c x) - 1).
    dx = s dy where x > 0, else s a c exp(c x) dy
    """

    @staticmethod
    def forward(x: Tensor, alpha: float = 1, scale: float = 1, input_scale: float = 1) -> tuple[Tensor, Any]:
        y = _aten.elu(x, alpha, scale, input_scale)
        return y, (y if alpha >= 0 else x, alpha, scale, input_scale)

    @staticmethod
    def vjp(saved: Any, d_y: Tensor) -> tuple[Any, ...]:
        kept, alpha, scale, input_scale = saved
        return (_aten.elu_backward(d_y, alpha, scale, input_scale, alpha >= 0, kept),)


@register_map("aten.selu.default")
class Selu(Map):
    """y = s x where x > 0, else s a (exp(x) - 1), for the a and s that keep mean 0 and variance 1.
    dx = s dy where x > 0, else s a exp(x) dy
    """

    @staticmethod
    def forward(x: Tensor) -> tuple[Tensor, Any]:
        return Elu.forward(x, 1.6732632423543772848170429916717, 1.0507009873554804934193349852946)

    @staticmethod
    def vjp(saved: Any, d_y: Tensor) -> tuple[Any, ...]:
        return Elu.vjp(saved, d_y)


@register_map("aten.celu.default")
class Celu(Map):
    """y = x where x > 0, else a (exp(x / a) - 1).
    dx = dy where x > 0, else exp(x / a) dy
    """

    @staticmethod
    def forward(x: Tensor, alpha: float = 1) -> tuple[Tensor, Any]:
        return Elu.forward(x, alpha, 1, 1 / alpha)

    @staticmethod
    def vjp(saved: Any, d_y: Tensor) -> tuple[Any, ...]:
        return Elu.vjp(saved, d_y)
