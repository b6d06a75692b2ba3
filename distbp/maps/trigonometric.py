"""Trigonometric and hyperbolic functions and their inverses, element by element."""

# ruff: noqa: D102 - the class's docstring holds the equations of both functions

from typing import Any

import torch
from torch import Tensor

from distbp.maps.base import Map
from distbp.maps.broadcast import folded, form
from distbp.maps.registry import register_map


def _root(x: Tensor) -> Tensor:
    """The slope of arcsin."""
    return torch.rsub(x * x, 1).rsqrt_()


@register_map("aten.sin.default")
class Sine(Map):
    """y = sin(x).
    dx = cos(x) dy
    """

    @staticmethod
    def forward(x: Tensor) -> tuple[Tensor, Tensor]:
        return torch.sin(x), x

    @staticmethod
    def vjp(x: Tensor, d_y: Tensor) -> tuple[Any, ...]:
        return (torch.cos(x).mul_(d_y),)


@register_map("aten.cos.default")
class Cosine(Map):
    """y = cos(x).
    dx = -sin(x) dy
    """

    @staticmethod
    def forward(x: Tensor) -> tuple[Tensor, Tensor]:
        return torch.cos(x), x

    @staticmethod
    def vjp(x: Tensor, d_y: Tensor) -> tuple[Any, ...]:
        return (torch.sin(x).mul_(d_y).neg_(),)


@register_map("aten.tan.default")
class Tangent(Map):
    """y = tan(x).
    dx = (1 + y^2) dy
    """

    @staticmethod
    def forward(x: Tensor) -> tuple[Tensor, Tensor]:
        y = torch.tan(x)
        return y, y

    @staticmethod
    def vjp(y: Tensor, d_y: Tensor) -> tuple[Any, ...]:
        return (torch.addcmul(d_y, d_y * y, y),)


@register_map("aten.asin.default")
@register_map("aten.arcsin.default")
class ArcSine(Map):
    """y = arcsin(x).
    dx = dy / sqrt(1 - x^2)
    """

    @staticmethod
    def forward(x: Tensor) -> tuple[Tensor, Tensor]:
        return torch.asin(x), x

    @staticmethod
    def vjp(x: Tensor, d_y: Tensor) -> tuple[Any, ...]:
        return (_root(x).mul_(d_y),)


@register_map("aten.acos.default")
@register_map("aten.arccos.default")
class ArcCosine(Map):
    """y = arccos(x).
    dx = -dy / sqrt(1 - x^2)
    """

    @staticmethod
    def forward(x: Tensor) -> tuple[Tensor, Tensor]:
        return torch.acos(x), x

    @staticmethod
    def vjp(x: Tensor, d_y: Tensor) -> tuple[Any, ...]:
        return (_root(x).mul_(d_y).neg_(),)


@register_map("aten.atan.default")
@register_map("aten.arctan.default")
class ArcTangent(Map):
    """y = arctan(x).
    dx = dy / (1 + x^2)
    """

    @staticmethod
    def forward(x: Tensor) -> tuple[Tensor, Tensor]:
        return torch.atan(x), x

    @staticmethod
    def vjp(x: Tensor, d_y: Tensor) -> tuple[Any, ...]:
        return (d_y / (x * x).add_(1),)


@register_map("aten.sinh.default")
class HyperbolicSine(Map):
    """y = sinh(x).
    dx = cosh(x) dy
    """

    @staticmethod
    def forward(x: Tensor) -> tuple[Tensor, Tensor]:
        return torch.sinh(x), x

    @staticmethod
    def vjp(x: Tensor, d_y: Tensor) -> tuple[Any, ...]:
        return (torch.cosh(x).mul_(d_y),)


@register_map("aten.cosh.default")
class HyperbolicCosine(Map):
    """y = cosh(x).
    dx = sinh(x) dy
    """

    @staticmethod
    def forward(x: Tensor) -> tuple[Tensor, Tensor]:
        return torch.cosh(x), x

    @staticmethod
    def vjp(x: Tensor, d_y: Tensor) -> tuple[Any, ...]:
        return (torch.sinh(x).mul_(d_y),)


@register_map("aten.asinh.default")
@register_map("aten.arcsinh.default")
class AreaSine(Map):
    """y = arsinh(x).
    dx = dy / sqrt(x^2 + 1)
    """

    @staticmethod
    def forward(x: Tensor) -> tuple[Tensor, Tensor]:
        return torch.asinh(x), x

    @staticmethod
    def vjp(x: Tensor, d_y: Tensor) -> tuple[Any, ...]:
        return ((x * x).add_(1).rsqrt_().mul_(d_y),)


@register_map("aten.acosh.default")
@register_map("aten.arccosh.default")
class AreaCosine(Map):
    """y = arcosh(x).
    dx = dy / sqrt(x^2 - 1)
    """

    @staticmethod
    def forward(x: Tensor) -> tuple[Tensor, Tensor]:
        return torch.acosh(x), x

    @staticmethod
    def vjp(x: Tensor, d_y: Tensor) -> tuple[Any, ...]:
        return ((x * x).sub_(1).rsqrt_().mul_(d_y),)


@register_map("aten.atanh.default")
@register_map("aten.arctanh.default")
class AreaTangent(Map):
    """y = artanh(x).
    dx = dy / (1 - x^2)
    """

    @staticmethod
    def forward(x: Tensor) -> tuple[Tensor, Tensor]:
        return torch.atanh(x), x

    @staticmethod
    def vjp(x: Tensor, d_y: Tensor) -> tuple[Any, ...]:
        return (d_y / torch.rsub(x * x, 1),)


@register_map("aten.atan2.default")
@register_map("aten.arctan2.default")
class Angle(Map):
    """y = the angle of the point (b, a).
    da = b dy / (a^2 + b^2),  db = -a dy / (a^2 + b^2), 0 at the origin; each summed over what was broadcast
    """

    @staticmethod
    def forward(a: Tensor, b: Tensor) -> tuple[Tensor, Any]:
        return torch.atan2(a, b), (a, b)

    @staticmethod
    def vjp(saved: Any, d_y: Tensor) -> tuple[Any, ...]:
        a, b = saved
        square = (a * a).add(b * b)
        d = torch.where(square == 0, 0, d_y / square)
        return folded(d * b, form(a)), folded(d * a, form(b)).neg_()
