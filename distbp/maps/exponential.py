"""Exponentials, logarithms and the error function, element by element."""

# ruff: noqa: D102 - the class's docstring holds the equations of both functions

import math
from typing import Any

import torch
from torch import Tensor

from distbp.maps.base import Map
from distbp.maps.broadcast import folded, form
from distbp.maps.registry import register_map


def _bell(x: Tensor) -> Tensor:
    """The slope of erf."""
    return (x * x).neg_().exp_().mul_(2 / math.sqrt(math.pi))


@register_map("aten.exp.default")
class Exp(Map):
    """y = exp(x).
    dx = y dy
    """

    @staticmethod
    def forward(x: Tensor) -> tuple[Tensor, Tensor]:
        y = torch.exp(x)
        return y, y

    @staticmethod
    def vjp(y: Tensor, d_y: Tensor) -> tuple[Any, ...]:
        return (d_y * y,)


@register_map("aten.exp2.default")
class Exp2(Map):
    """y = 2^x.
    dx = log(2) y dy
    """

    @staticmethod
    def forward(x: Tensor) -> tuple[Tensor, Tensor]:
        y = torch.exp2(x)
        return y, y

    @staticmethod
    def vjp(y: Tensor, d_y: Tensor) -> tuple[Any, ...]:
        return ((d_y * y).mul_(math.log(2)),)


@register_map("aten.expm1.default")
class Expm1(Map):
    """y = exp(x) - 1.
    dx = (y + 1) dy
    """

    @staticmethod
    def forward(x: Tensor) -> tuple[Tensor, Tensor]:
        y = torch.expm1(x)
        return y, y

    @staticmethod
    def vjp(y: Tensor, d_y: Tensor) -> tuple[Any, ...]:
        return (torch.addcmul(d_y, d_y, y),)


@register_map("aten.log.default")
class Log(Map):
    """y = log(x).
    dx = dy / x
    """

    @staticmethod
    def forward(x: Tensor) -> tuple[Tensor, Tensor]:
        return torch.log(x), x

    @staticmethod
    def vjp(x: Tensor, d_y: Tensor) -> tuple[Any, ...]:
        return (d_y / x,)


@register_map("aten.log1p.default")
class Log1p(Map):
    """y = log(1 + x).
    dx = dy / (1 + x)
    """

    @staticmethod
    def forward(x: Tensor) -> tuple[Tensor, Tensor]:
        return torch.log1p(x), x

    @staticmethod
    def vjp(x: Tensor, d_y: Tensor) -> tuple[Any, ...]:
        return (d_y / (x + 1),)


@register_map("aten.log2.default")
class Log2(Map):
    """y = log(x) / log(2).
    dx = dy / (x log(2))
    """

    @staticmethod
    def forward(x: Tensor) -> tuple[Tensor, Tensor]:
        return torch.log2(x), x

    @staticmethod
    def vjp(x: Tensor, d_y: Tensor) -> tuple[Any, ...]:
        return ((d_y / x).div_(math.log(2)),)


@register_map("aten.log10.default")
class Log10(Map):
    """y = log(x) / log(10).
    dx = dy / (x log(10))
    """

    @staticmethod
    def forward(x: Tensor) -> tuple[Tensor, Tensor]:
        return torch.log10(x), x

    @staticmethod
    def vjp(x: Tensor, d_y: Tensor) -> tuple[Any, ...]:
        return ((d_y / x).div_(math.log(10)),)


@register_map("aten.erf.default")
@register_map("aten.special_erf.default")
class Erf(Map):
    """y = 2 / sqrt(pi) int_0^x exp(-t^2) dt.
    dx = 2 / sqrt(pi) exp(-x^2) dy
    """

    @staticmethod
    def forward(x: Tensor) -> tuple[Tensor, Tensor]:
        return torch.erf(x), x

    @staticmethod
    def vjp(x: Tensor, d_y: Tensor) -> tuple[Any, ...]:
        return (_bell(x).mul_(d_y),)


@register_map("aten.erfc.default")
@register_map("aten.special_erfc.default")
class Erfc(Map):
    """y = 1 - erf(x).
    dx = -2 / sqrt(pi) exp(-x^2) dy
    """

    @staticmethod
    def forward(x: Tensor) -> tuple[Tensor, Tensor]:
        return torch.erfc(x), x

    @staticmethod
    def vjp(x: Tensor, d_y: Tensor) -> tuple[Any, ...]:
        return (_bell(x).mul_(d_y).neg_(),)


@register_map("aten.erfinv.default")
@register_map("aten.special_erfinv.default")
class ErfInverse(Map):
    """y = erf^-1(x).
    dx = sqrt(pi) / 2 exp(y^2) dy
    """

    @staticmethod
    def forward(x: Tensor) -> tuple[Tensor, Tensor]:
        y = torch.erfinv(x)
        return y, y

    @staticmethod
    def vjp(y: Tensor, d_y: Tensor) -> tuple[Any, ...]:
        return ((y * y).exp_().mul_(d_y).mul_(math.sqrt(math.pi) / 2),)


@register_map("aten.lgamma.default")
@register_map("aten.special_gammaln.default")
class LogGamma(Map):
    """y = log |Gamma(x)|.
    dx = digamma(x) dy
    """

    @staticmethod
    def forward(x: Tensor) -> tuple[Tensor, Tensor]:
        return torch.lgamma(x), x

    @staticmethod
    def vjp(x: Tensor, d_y: Tensor) -> tuple[Any, ...]:
        return (torch.digamma(x).mul_(d_y),)


@register_map("aten.logaddexp.default")
class LogAddExp(Map):
    """y = log(exp(a) + exp(b)).
    da = exp(a - y) dy,  db = exp(b - y) dy, each summed over what was broadcast
    """

    @staticmethod
    def forward(a: Tensor, b: Tensor) -> tuple[Tensor, Any]:
        y = torch.logaddexp(a, b)
        return y, (a, b, y)

    @staticmethod
    def vjp(saved: Any, d_y: Tensor) -> tuple[Any, ...]:
        a, b, y = saved
        return folded((a - y).exp_().mul_(d_y), form(a)), folded((b - y).exp_().mul_(d_y), form(b))
