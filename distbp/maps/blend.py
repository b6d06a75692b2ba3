"""Combinations of three operands, element by element, that torch computes in one pass. Shapes broadcast."""

# ruff: noqa: D102 - the class's docstring holds the equations of both functions

from typing import Any

import torch
from torch import Tensor

from distbp.maps.base import Map
from distbp.maps.broadcast import folded, form, scaled
from distbp.maps.registry import register_map


@register_map("aten.lerp.Scalar")
class Lerp(Map):
    """y = a + c (b - a), c a number.
    da = (1 - c) dy,  db = c dy, each summed over what was broadcast
    """

    @staticmethod
    def forward(a: Tensor, b: Tensor, weight: float) -> tuple[Tensor, Any]:
        return torch.lerp(a, b, weight), (form(a), form(b), weight)

    @staticmethod
    def vjp(saved: Any, d_y: Tensor) -> tuple[Any, ...]:
        a, b, weight = saved
        return scaled(folded(d_y, a), 1 - weight), scaled(folded(d_y, b), weight)


@register_map("aten.lerp.Tensor")
class LerpTensor(Map):
    """y = a + w (b - a).
    da = (1 - w) dy,  db = w dy,  dw = (b - a) dy, each summed over what was broadcast
    """

    @staticmethod
    def forward(a: Tensor, b: Tensor, weight: Tensor) -> tuple[Tensor, Any]:
        return torch.lerp(a, b, weight), (a, b, weight)

    @staticmethod
    def vjp(saved: Any, d_y: Tensor) -> tuple[Any, ...]:
        a, b, weight = saved
        d_a, d_b = d_y * (1 - weight), d_y * weight
        return folded(d_a, form(a)), folded(d_b, form(b)), folded((b - a) * d_y, form(weight))


@register_map("aten.addcmul.default")
class AddProduct(Map):
    """y = x + c a b, c a number.
    dx = dy,  da = c b dy,  db = c a dy, each summed over what was broadcast
    """

    @staticmethod
    def forward(x: Tensor, a: Tensor, b: Tensor, value: float = 1) -> tuple[Tensor, Any]:
        return torch.addcmul(x, a, b, value=value), (form(x), a, b, value)

    @staticmethod
    def vjp(saved: Any, d_y: Tensor) -> tuple[Any, ...]:
        x, a, b, value = saved
        d_a, d_b = folded(d_y * b, form(a)), folded(d_y * a, form(b))
        return folded(d_y, x), scaled(d_a, value), scaled(d_b, value)


@register_map("aten.addcdiv.default")
class AddRatio(Map):
    """y = x + c a / b, c a number.
    dx = dy,  da = c dy / b,  db = -c a dy / b^2, each summed over what was broadcast
    """

    @staticmethod
    def forward(x: Tensor, a: Tensor, b: Tensor, value: float = 1) -> tuple[Tensor, Any]:
        return torch.addcdiv(x, a, b, value=value), (form(x), a, b, value)

    @staticmethod
    def vjp(saved: Any, d_y: Tensor) -> tuple[Any, ...]:
        x, a, b, value = saved
        d = d_y / b
        d_b = (d * a).div_(b)
        return folded(d_y, x), scaled(folded(d, form(a)), value), scaled(folded(d_b, form(b)), -value)
