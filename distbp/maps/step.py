"""Maps that are linear in pieces, and those that are constant in pieces and so have no gradient."""

# ruff: noqa: D102 - the class's docstring holds the equations of both functions

from typing import Any

import torch
from torch import Tensor

from distbp.maps.base import Map
from distbp.maps.broadcast import folded, form
from distbp.maps.registry import register_map


@register_map("aten.abs.default")
@register_map("aten.absolute.default")
class Absolute(Map):
    """y = |x|.
    dx = sign(x) dy
    """

    @staticmethod
    def forward(x: Tensor) -> tuple[Tensor, Tensor]:
        return torch.abs(x), x

    @staticmethod
    def vjp(x: Tensor, d_y: Tensor) -> tuple[Any, ...]:
        return (torch.sgn(x).mul_(d_y),)


@register_map("aten.frac.default")
class Fraction(Map):
    """y = x - trunc(x).
    dx = dy
    """

    @staticmethod
    def forward(x: Tensor) -> tuple[Tensor, None]:
        return torch.frac(x), None

    @staticmethod
    def vjp(_saved: None, d_y: Tensor) -> tuple[Any, ...]:
        return (d_y,)


@register_map("aten.nan_to_num.default")
class NanToNum(Map):
    """y = x where x is finite, else numbers given.
    dx = dy where x is finite, else 0
    """

    @staticmethod
    def forward(
        x: Tensor, nan: float | None = None, posinf: float | None = None, neginf: float | None = None
    ) -> tuple[Tensor, Tensor]:
        return torch.nan_to_num(x, nan, posinf, neginf), x

    @staticmethod
    def vjp(x: Tensor, d_y: Tensor) -> tuple[Any, ...]:
        return (torch.where(torch.isfinite(x), d_y, 0),)


@register_map("aten.xlogy.Tensor")
@register_map("aten.special_xlogy.default")
class TimesLog(Map):
    """y = a log(b), 0 where a = 0.
    da = log(b) dy, 0 where a = 0 and b <= 0,  db = a dy / b; each summed over what was broadcast
    """

    @staticmethod
    def forward(a: Tensor, b: Tensor) -> tuple[Tensor, Any]:
        return torch.xlogy(a, b), (a, b)

    @staticmethod
    def vjp(saved: Any, d_y: Tensor) -> tuple[Any, ...]:
        a, b = saved
        d_a = torch.where((a == 0) & (b <= 0), 0, torch.log(b) * d_y)
        return folded(d_a, form(a)), folded(d_y / b * a, form(b))


@register_map("aten.sign.default")
@register_map("aten.sgn.default")
class Sign(Map):
    """y = x / |x|, 0 for 0.
    dx = 0
    """

    @staticmethod
    def forward(x: Tensor) -> tuple[Tensor, None]:
        return torch.sign(x), None

    @staticmethod
    def vjp(_saved: None, _d_y: Tensor) -> tuple[Any, ...]:
        return (None,)


@register_map("aten.floor.default")
class Floor(Map):
    """y = the largest integer <= x.
    dx = 0
    """

    @staticmethod
    def forward(x: Tensor) -> tuple[Tensor, None]:
        return torch.floor(x), None

    @staticmethod
    def vjp(_saved: None, _d_y: Tensor) -> tuple[Any, ...]:
        return (None,)


@register_map("aten.ceil.default")
class Ceiling(Map):
    """y = the smallest integer >= x.
    dx = 0
    """

    @staticmethod
    def forward(x: Tensor) -> tuple[Tensor, None]:
        return torch.ceil(x), None

    @staticmethod
    def vjp(_saved: None, _d_y: Tensor) -> tuple[Any, ...]:
        return (None,)


@register_map("aten.trunc.default")
@register_map("aten.fix.default")
class Truncate(Map):
    """y = x without its fraction.
    dx = 0
    """

    @staticmethod
    def forward(x: Tensor) -> tuple[Tensor, None]:
        return torch.trunc(x), None

    @staticmethod
    def vjp(_saved: None, _d_y: Tensor) -> tuple[Any, ...]:
        return (None,)


@register_map("aten.round.default")
class Round(Map):
    """y = the nearest integer, the even one of two.
    dx = 0
    """

    @staticmethod
    def forward(x: Tensor) -> tuple[Tensor, None]:
        return torch.round(x), None

    @staticmethod
    def vjp(_saved: None, _d_y: Tensor) -> tuple[Any, ...]:
        return (None,)


@register_map("aten.round.decimals")
class RoundDecimals(Map):
    """y = x to so many decimals.
    dx = 0
    """

    @staticmethod
    def forward(x: Tensor, decimals: int) -> tuple[Tensor, None]:
        return torch.round(x, decimals=decimals), None

    @staticmethod
    def vjp(_saved: None, _d_y: Tensor) -> tuple[Any, ...]:
        return (None,)
