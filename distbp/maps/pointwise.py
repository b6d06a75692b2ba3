"""Maps that work element by element. All shapes are equal, or broadcast to each other."""

# ruff: noqa: D102 - the class's docstring holds the equations of both functions

from typing import Any

import torch
from torch import Tensor

from distbp.maps.base import Map
from distbp.maps.into import Into
from distbp.maps.registry import register_map


@register_map("aten.relu.default")
class Relu(Map):
    """y = max(x, 0).
    dx = dy where y > 0, else 0
    """

    owned = True

    @staticmethod
    def forward(x: Tensor) -> tuple[Tensor, Tensor]:
        y = torch.relu(x)
        return y, y

    @staticmethod
    def vjp(y: Tensor, d_y: Tensor, into: tuple[Into, ...]) -> tuple[Any, ...]:
        return (into[0].put(torch.ops.aten.threshold_backward(d_y, y, 0)),)


@register_map("aten.tanh.default")
class Tanh(Map):
    """y = tanh(x).
    dx = (1 - y^2) dy
    """

    owned = True

    @staticmethod
    def forward(x: Tensor) -> tuple[Tensor, Tensor]:
        y = torch.tanh(x)
        return y, y

    @staticmethod
    def vjp(y: Tensor, d_y: Tensor, into: tuple[Into, ...]) -> tuple[Any, ...]:
        return (into[0].put(torch.ops.aten.tanh_backward(d_y, y)),)


@register_map("aten.sigmoid.default")
class Sigmoid(Map):
    """y = 1 / (1 + exp(-x)).
    dx = y (1 - y) dy
    """

    owned = True

    @staticmethod
    def forward(x: Tensor) -> tuple[Tensor, Tensor]:
        y = torch.sigmoid(x)
        return y, y

    @staticmethod
    def vjp(y: Tensor, d_y: Tensor, into: tuple[Into, ...]) -> tuple[Any, ...]:
        return (into[0].put(torch.ops.aten.sigmoid_backward(d_y, y)),)


@register_map("aten.gelu.default")
class Gelu(Map):
    """y = x P(x), P the normal distribution function, or its approximation by tanh.
    dx = (P(x) + x P'(x)) dy
    """

    owned = True

    @staticmethod
    def forward(x: Tensor, approximate: str = "none") -> tuple[Tensor, Any]:
        return torch.nn.functional.gelu(x, approximate=approximate), (x, approximate)

    @staticmethod
    def vjp(saved: Any, d_y: Tensor, into: tuple[Into, ...]) -> tuple[Any, ...]:
        x, approximate = saved
        return (into[0].put(torch.ops.aten.gelu_backward(d_y, x, approximate=approximate)),)


@register_map("aten.neg.default")
class Negative(Map):
    """y = -x.
    dx = -dy
    """

    owned = True

    @staticmethod
    def forward(x: Tensor) -> tuple[Tensor, None]:
        return -x, None

    @staticmethod
    def vjp(_saved: None, d_y: Tensor, into: tuple[Into, ...]) -> tuple[Any, ...]:
        return (into[0].put(-d_y),)


@register_map("aten.add.Tensor")
class Sum(Map):
    """y = a + alpha b.
    da = dy,  db = alpha dy, each summed over what was broadcast
    """

    @staticmethod
    def forward(a: Tensor, b: Tensor, alpha: float = 1) -> tuple[Tensor, Any]:
        return torch.add(a, b, alpha=alpha), (a.shape, b.shape, alpha)

    @staticmethod
    def vjp(saved: Any, d_y: Tensor, into: tuple[Into, ...]) -> tuple[Any, ...]:
        a_shape, b_shape, alpha = saved
        return into[0].fold(d_y, a_shape), into[1].scale(d_y, alpha, b_shape)


@register_map("aten.sub.Tensor")
class Difference(Map):
    """y = a - alpha b.
    da = dy,  db = -alpha dy, each summed over what was broadcast
    """

    @staticmethod
    def forward(a: Tensor, b: Tensor, alpha: float = 1) -> tuple[Tensor, Any]:
        return torch.sub(a, b, alpha=alpha), (a.shape, b.shape, alpha)

    @staticmethod
    def vjp(saved: Any, d_y: Tensor, into: tuple[Into, ...]) -> tuple[Any, ...]:
        a_shape, b_shape, alpha = saved
        return into[0].fold(d_y, a_shape), into[1].scale(d_y, -alpha, b_shape)


@register_map("aten.mul.Tensor")
class Product(Map):
    """y = a b.
    da = b dy,  db = a dy, each summed over what was broadcast
    """

    owned = True

    @staticmethod
    def forward(a: Tensor, b: Tensor) -> tuple[Tensor, Any]:
        return a * b, (a, b)

    @staticmethod
    def vjp(saved: Any, d_y: Tensor, into: tuple[Into, ...]) -> tuple[Any, ...]:
        a, b = saved
        return into[0].product(d_y, b, a.shape), into[1].product(d_y, a, b.shape)


@register_map("aten.add.Scalar")
class Shift(Map):
    """y = x + alpha c, c a number.
    dx = dy
    """

    @staticmethod
    def forward(x: Tensor, other: float, alpha: float = 1) -> tuple[Tensor, None]:
        return torch.add(x, other, alpha=alpha), None

    @staticmethod
    def vjp(_saved: None, d_y: Tensor, into: tuple[Into, ...]) -> tuple[Any, ...]:
        return (into[0].put(d_y),)


@register_map("aten.mul.Scalar")
class Scale(Map):
    """y = c x, c a number.
    dx = c dy
    """

    owned = True

    @staticmethod
    def forward(x: Tensor, other: float) -> tuple[Tensor, float]:
        return x * other, other

    @staticmethod
    def vjp(other: float, d_y: Tensor, into: tuple[Into, ...]) -> tuple[Any, ...]:
        return (into[0].put(d_y * other),)


@register_map("aten.div.Scalar")
class Quotient(Map):
    """y = x / c, c a number.
    dx = dy / c
    """

    owned = True

    @staticmethod
    def forward(x: Tensor, other: float) -> tuple[Tensor, float]:
        return x / other, other

    @staticmethod
    def vjp(other: float, d_y: Tensor, into: tuple[Into, ...]) -> tuple[Any, ...]:
        return (into[0].put(d_y / other),)


@register_map("aten.sub.Scalar")
class ShiftDown(Map):
    """y = x - alpha c, c a number.
    dx = dy
    """

    @staticmethod
    def forward(x: Tensor, other: float, alpha: float = 1) -> tuple[Tensor, None]:
        return torch.sub(x, other, alpha=alpha), None

    @staticmethod
    def vjp(_saved: None, d_y: Tensor, into: tuple[Into, ...]) -> tuple[Any, ...]:
        return (into[0].put(d_y),)


@register_map("aten.pow.Tensor_Scalar", when=lambda _, attributes: attributes["exponent"] >= 1)
class Power(Map):
    """y = x^c, c a number of at least 1.
    dx = c x^(c-1) dy
    """

    owned = True

    @staticmethod
    def forward(x: Tensor, exponent: float) -> tuple[Tensor, Any]:
        return x**exponent, (x, exponent)

    @staticmethod
    def vjp(saved: Any, d_y: Tensor, into: tuple[Into, ...]) -> tuple[Any, ...]:
        x, exponent = saved
        return (into[0].put(x ** (exponent - 1) * exponent * d_y),)
