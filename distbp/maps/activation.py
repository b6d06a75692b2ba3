"""Activations without a corner, and their forms before a logarithm."""

# ruff: noqa: D102 - the class's docstring holds the equations of both functions

from typing import Any

import torch
from torch import Tensor

from distbp.maps.base import Map
from distbp.maps.registry import register_map

_aten = torch.ops.aten


@register_map("aten.tanh.default")
class Tanh(Map):
    """y = tanh(x).
    dx = (1 - y^2) dy
    """

    @staticmethod
    def forward(x: Tensor) -> tuple[Tensor, Tensor]:
        y = torch.tanh(x)
        return y, y

    @staticmethod
    def vjp(y: Tensor, d_y: Tensor) -> tuple[Any, ...]:
        return (_aten.tanh_backward(d_y, y),)


@register_map("aten.sigmoid.default")
@register_map("aten.special_expit.default")
class Sigmoid(Map):
    """y = 1 / (1 + exp(-x)).
    dx = y (1 - y) dy
    """

    @staticmethod
    def forward(x: Tensor) -> tuple[Tensor, Tensor]:
        y = torch.sigmoid(x)
        return y, y

    @staticmethod
    def vjp(y: Tensor, d_y: Tensor) -> tuple[Any, ...]:
        return (_aten.sigmoid_backward(d_y, y),)


@register_map("aten.log_sigmoid.default")
class LogSigmoid(Map):
    """y = -log(1 + exp(-x)).
    dx = (1 - exp(y)) dy
    """

    @staticmethod
    def forward(x: Tensor) -> tuple[Tensor, Tensor]:
        y = _aten.log_sigmoid(x)
        return y, y

    @staticmethod
    def vjp(y: Tensor, d_y: Tensor) -> tuple[Any, ...]:
        return (torch.expm1(y).mul_(d_y).neg_(),)


@register_map("aten.gelu.default")
class Gelu(Map):
    """y = x P(x), P the normal distribution function, or its approximation by tanh.
    dx = (P(x) + x P'(x)) dy
    """

    @staticmethod
    def forward(x: Tensor, approximate: str = "none") -> tuple[Tensor, Any]:
        return _aten.gelu(x, approximate=approximate), (x, approximate)

    @staticmethod
    def vjp(saved: Any, d_y: Tensor) -> tuple[Any, ...]:
        x, approximate = saved
        return (_aten.gelu_backward(d_y, x, approximate=approximate),)


@register_map("aten.silu.default")
class Silu(Map):
    """y = x s(x), s(x) = 1 / (1 + exp(-x)).
    dx = s(x) (1 + x (1 - s(x))) dy
    """

    @staticmethod
    def forward(x: Tensor) -> tuple[Tensor, Tensor]:
        return _aten.silu(x), x

    @staticmethod
    def vjp(x: Tensor, d_y: Tensor) -> tuple[Any, ...]:
        return (_aten.silu_backward(d_y, x),)


@register_map("aten.mish.default")
class Mish(Map):
    """y = x tanh(log(1 + exp(x))).
    dx = (y / x + x (1 - (y / x)^2) s(x)) dy, s(x) = 1 / (1 + exp(-x))
    """

    @staticmethod
    def forward(x: Tensor) -> tuple[Tensor, Tensor]:
        return _aten.mish(x), x

    @staticmethod
    def vjp(x: Tensor, d_y: Tensor) -> tuple[Any, ...]:
        return (_aten.mish_backward(d_y, x),)


@register_map("aten.softplus.default")
class Softplus(Map):
    """y = log(1 + exp(beta x)) / beta; x where beta x > threshold.
    dx = dy / (1 + exp(-beta x)); dy where beta x > threshold
    """

    @staticmethod
    def forward(x: Tensor, beta: float = 1, threshold: float = 20) -> tuple[Tensor, Any]:
        return _aten.softplus(x, beta, threshold), (x, beta, threshold)

    @staticmethod
    def vjp(saved: Any, d_y: Tensor) -> tuple[Any, ...]:
        x, beta, threshold = saved
        return (_aten.softplus_backward(d_y, x, beta, threshold),)


@register_map("aten.logit.default")
@register_map("aten.special_logit.default")
class Logit(Map):
    """y = log(x / (1 - x)), x bounded by eps and 1 - eps.
    dx = dy / (x (1 - x)), 0 where x was out of bounds
    """

    @staticmethod
    def forward(x: Tensor, eps: float | None = None) -> tuple[Tensor, Any]:
        return _aten.logit(x, eps), (x, eps)

    @staticmethod
    def vjp(saved: Any, d_y: Tensor) -> tuple[Any, ...]:
        x, eps = saved
        return (_aten.logit_backward(d_y, x, eps),)


@register_map("aten.glu.default")
class Glu(Map):
    """y = a s(b), x = (a, b) along dim, s(b) = 1 / (1 + exp(-b)).
    dx = (s(b) dy, a s(b) (1 - s(b)) dy)
    """

    @staticmethod
    def forward(x: Tensor, dim: int = -1) -> tuple[Tensor, Any]:
        return _aten.glu(x, dim), (x, dim)

    @staticmethod
    def vjp(saved: Any, d_y: Tensor) -> tuple[Any, ...]:
        x, dim = saved
        return (_aten.glu_backward(d_y, x, dim),)
