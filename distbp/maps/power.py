"""Powers and roots, element by element. c is a number."""

# ruff: noqa: D102 - the class's docstring holds the equations of both functions

import math
from typing import Any

import torch
from torch import Tensor

from distbp.maps.base import Map
from distbp.maps.broadcast import folded, form
from distbp.maps.registry import register_map


@register_map("aten.pow.Tensor_Scalar")
class Power(Map):
    """y = x^c.
    dx = c x^(c-1) dy
    """

    @staticmethod
    def forward(x: Tensor, exponent: float) -> tuple[Tensor, Any]:
        return x**exponent, (x, exponent)

    @staticmethod
    def vjp(saved: Any, d_y: Tensor) -> tuple[Any, ...]:
        x, exponent = saved
        if exponent == 0:
            return (torch.zeros_like(x),)
        if exponent == 1:
            return (d_y,)
        slope = x * 2 if exponent == 2 else (x ** (exponent - 1)).mul_(exponent)
        return (slope.mul_(d_y),)


@register_map("aten.pow.Tensor_Tensor")
class PowerTensor(Map):
    """y = a^b.
    da = b a^(b-1) dy where b /= 0, else 0,  db = y log(a) dy where a /= 0 or b < 0, else 0; summed where broadcast
    """

    @staticmethod
    def forward(a: Tensor, b: Tensor) -> tuple[Tensor, Any]:
        y = a**b
        return y, (a, b, y)

    @staticmethod
    def vjp(saved: Any, d_y: Tensor) -> tuple[Any, ...]:
        a, b, y = saved
        d_a = (a ** (b - 1)).mul_(b).mul_(d_y)
        d_b = torch.where((a == 0) & (b >= 0), 0, torch.log(a) * y * d_y)
        return folded(torch.where(b == 0, 0, d_a), form(a)), folded(d_b, form(b))


@register_map("aten.pow.Scalar", when=lambda _, attributes: attributes["self"] > 0)
class PowerOfNumber(Map):
    """y = c^x, c > 0.
    dx = log(c) y dy
    """

    @staticmethod
    def forward(x: Tensor, self: float) -> tuple[Tensor, Any]:
        y = torch.pow(self, x)
        return y, (y, self)

    @staticmethod
    def vjp(saved: Any, d_y: Tensor) -> tuple[Any, ...]:
        y, base = saved
        return ((y * d_y).mul_(math.log(base)),)


@register_map("aten.square.default")
class Square(Map):
    """y = x^2.
    dx = 2 x dy
    """

    @staticmethod
    def forward(x: Tensor) -> tuple[Tensor, Tensor]:
        return x * x, x

    @staticmethod
    def vjp(x: Tensor, d_y: Tensor) -> tuple[Any, ...]:
        return ((x * d_y).mul_(2),)


@register_map("aten.sqrt.default")
class SquareRoot(Map):
    """y = sqrt(x).
    dx = dy / (2 y)
    """

    @staticmethod
    def forward(x: Tensor) -> tuple[Tensor, Tensor]:
        y = torch.sqrt(x)
        return y, y

    @staticmethod
    def vjp(y: Tensor, d_y: Tensor) -> tuple[Any, ...]:
        return ((d_y / y).mul_(0.5),)


@register_map("aten.rsqrt.default")
class InverseRoot(Map):
    """y = 1 / sqrt(x).
    dx = -y^3 dy / 2
    """

    @staticmethod
    def forward(x: Tensor) -> tuple[Tensor, Tensor]:
        y = torch.rsqrt(x)
        return y, y

    @staticmethod
    def vjp(y: Tensor, d_y: Tensor) -> tuple[Any, ...]:
        return ((y**3).mul_(d_y).mul_(-0.5),)


@register_map("aten.reciprocal.default")
class Reciprocal(Map):
    """y = 1 / x.
    dx = -y^2 dy
    """

    @staticmethod
    def forward(x: Tensor) -> tuple[Tensor, Tensor]:
        y = torch.reciprocal(x)
        return y, y

    @staticmethod
    def vjp(y: Tensor, d_y: Tensor) -> tuple[Any, ...]:
        return ((y * y).mul_(d_y).neg_(),)
