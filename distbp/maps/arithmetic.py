"""Sums, products and quotients, element by element. Shapes are equal, or broadcast to each other; c is a number."""

# ruff: noqa: D102 - the class's docstring holds the equations of both functions

from typing import Any

import torch
from torch import Tensor

from distbp.maps.base import Map
from distbp.maps.broadcast import folded, form, scaled
from distbp.maps.registry import register_map


@register_map("aten.add.Tensor")
class Sum(Map):
    """y = a + alpha b.
    da = dy,  db = alpha dy, each summed over what was broadcast
    """

    @staticmethod
    def forward(a: Tensor, b: Tensor, alpha: float = 1) -> tuple[Tensor, Any]:
        return torch.add(a, b, alpha=alpha), (form(a), form(b), alpha)

    @staticmethod
    def vjp(saved: Any, d_y: Tensor) -> tuple[Any, ...]:
        a, b, alpha = saved
        return folded(d_y, a), scaled(folded(d_y, b), alpha)


@register_map("aten.sub.Tensor")
@register_map("aten.subtract.Tensor")
class Difference(Map):
    """y = a - alpha b.
    da = dy,  db = -alpha dy, each summed over what was broadcast
    """

    @staticmethod
    def forward(a: Tensor, b: Tensor, alpha: float = 1) -> tuple[Tensor, Any]:
        return torch.sub(a, b, alpha=alpha), (form(a), form(b), alpha)

    @staticmethod
    def vjp(saved: Any, d_y: Tensor) -> tuple[Any, ...]:
        a, b, alpha = saved
        return folded(d_y, a), scaled(folded(d_y, b), -alpha)


@register_map("aten.rsub.Tensor")
class ReverseDifference(Map):
    """y = b - alpha a.
    da = -alpha dy,  db = dy, each summed over what was broadcast
    """

    @staticmethod
    def forward(a: Tensor, b: Tensor, alpha: float = 1) -> tuple[Tensor, Any]:
        return torch.rsub(a, b, alpha=alpha), (form(a), form(b), alpha)

    @staticmethod
    def vjp(saved: Any, d_y: Tensor) -> tuple[Any, ...]:
        a, b, alpha = saved
        return scaled(folded(d_y, a), -alpha), folded(d_y, b)


@register_map("aten.mul.Tensor")
@register_map("aten.multiply.Tensor")
class Product(Map):
    """y = a b.
    da = b dy,  db = a dy, each summed over what was broadcast
    """

    @staticmethod
    def forward(a: Tensor, b: Tensor) -> tuple[Tensor, Any]:
        return a * b, (a, b)

    @staticmethod
    def vjp(saved: Any, d_y: Tensor) -> tuple[Any, ...]:
        a, b = saved
        return folded(d_y * b, form(a)), folded(d_y * a, form(b))


def _exact(inputs: Any, attributes: Any) -> bool:
    """Whether the quotient is not rounded, nor one of integers."""
    return attributes.get("rounding_mode") is None and all(hasattr(x, "shape") for x in inputs)


@register_map("aten.div.Tensor")
@register_map("aten.divide.Tensor")
@register_map("aten.true_divide.Tensor")
@register_map("aten.div.Tensor_mode", when=_exact)
class Ratio(Map):
    """y = a / b.
    da = dy / b,  db = -y dy / b, each summed over what was broadcast
    """

    @staticmethod
    def forward(a: Tensor, b: Tensor, rounding_mode: None = None) -> tuple[Tensor, Any]:  # noqa: ARG004
        y = a / b
        return y, (y, b, form(a))

    @staticmethod
    def vjp(saved: Any, d_y: Tensor) -> tuple[Any, ...]:
        y, b, a = saved
        d = d_y / b
        return folded(d, a), folded(d * y, form(b)).neg_()


@register_map("aten.add.Scalar")
class Shift(Map):
    """y = x + alpha c.
    dx = dy
    """

    @staticmethod
    def forward(x: Tensor, other: float, alpha: float = 1) -> tuple[Tensor, None]:
        return torch.add(x, other, alpha=alpha), None

    @staticmethod
    def vjp(_saved: None, d_y: Tensor) -> tuple[Any, ...]:
        return (d_y,)


@register_map("aten.sub.Scalar")
@register_map("aten.subtract.Scalar")
class ShiftDown(Map):
    """y = x - alpha c.
    dx = dy
    """

    @staticmethod
    def forward(x: Tensor, other: float, alpha: float = 1) -> tuple[Tensor, None]:
        return torch.sub(x, other, alpha=alpha), None

    @staticmethod
    def vjp(_saved: None, d_y: Tensor) -> tuple[Any, ...]:
        return (d_y,)


@register_map("aten.rsub.Scalar")
class Reflect(Map):
    """y = c - alpha x.
    dx = -alpha dy
    """

    @staticmethod
    def forward(x: Tensor, other: float, alpha: float = 1) -> tuple[Tensor, float]:
        return torch.rsub(x, other, alpha=alpha), alpha

    @staticmethod
    def vjp(alpha: float, d_y: Tensor) -> tuple[Any, ...]:
        return (d_y * -alpha,)


@register_map("aten.mul.Scalar")
@register_map("aten.multiply.Scalar")
class Scale(Map):
    """y = c x.
    dx = c dy
    """

    @staticmethod
    def forward(x: Tensor, other: float) -> tuple[Tensor, float]:
        return x * other, other

    @staticmethod
    def vjp(other: float, d_y: Tensor) -> tuple[Any, ...]:
        return (scaled(d_y, other),)


@register_map("aten.div.Scalar")
@register_map("aten.divide.Scalar")
@register_map("aten.true_divide.Scalar")
@register_map("aten.div.Scalar_mode", when=lambda _, attributes: attributes["rounding_mode"] is None)
class Quotient(Map):
    """y = x / c.
    dx = dy / c
    """

    @staticmethod
    def forward(x: Tensor, other: float, rounding_mode: None = None) -> tuple[Tensor, float]:  # noqa: ARG004
        return x / other, other

    @staticmethod
    def vjp(other: float, d_y: Tensor) -> tuple[Any, ...]:
        return (d_y / other,)


@register_map("aten.neg.default")
@register_map("aten.negative.default")
class Negative(Map):
    """y = -x.
    dx = -dy
    """

    @staticmethod
    def forward(x: Tensor) -> tuple[Tensor, None]:
        return -x, None

    @staticmethod
    def vjp(_saved: None, d_y: Tensor) -> tuple[Any, ...]:
        return (-d_y,)


@register_map("aten.fmod.Scalar")
class Remainder(Map):
    """y = x - c trunc(x / c).
    dx = dy
    """

    @staticmethod
    def forward(x: Tensor, other: float) -> tuple[Tensor, None]:
        return torch.fmod(x, other), None

    @staticmethod
    def vjp(_saved: None, d_y: Tensor) -> tuple[Any, ...]:
        return (d_y,)


@register_map("aten.remainder.Scalar")
class Modulo(Map):
    """y = x - c floor(x / c).
    dx = dy
    """

    @staticmethod
    def forward(x: Tensor, other: float) -> tuple[Tensor, None]:
        return torch.remainder(x, other), None

    @staticmethod
    def vjp(_saved: None, d_y: Tensor) -> tuple[Any, ...]:
        return (d_y,)
