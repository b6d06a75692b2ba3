"""Maps that choose between operands, element by element, or bound one. A gradient goes where the value came from."""

# ruff: noqa: D102 - the class's docstring holds the equations of both functions

from typing import Any

import torch
from torch import Tensor

from distbp.maps.base import Map
from distbp.maps.broadcast import folded, form
from distbp.maps.registry import register_map


@register_map("aten.clamp.default")
@register_map("aten.clip.default")
class Clamp(Map):
    """y = min(max(x, l), u), l and u numbers.
    dx = dy where l <= x <= u, else 0
    """

    @staticmethod
    def forward(x: Tensor, min: float | None = None, max: float | None = None) -> tuple[Tensor, Any]:
        return torch.clamp(x, min, max), (x, min, max)

    @staticmethod
    def vjp(saved: Any, d_y: Tensor) -> tuple[Any, ...]:
        x, low, high = saved
        if low is None or high is None:
            return (torch.where(x <= high if low is None else x >= low, d_y, 0),)
        return (torch.where((x >= low).logical_and_(x <= high), d_y, 0),)


@register_map("aten.clamp_min.default")
class ClampMin(Map):
    """y = max(x, l), l a number.
    dx = dy where x >= l, else 0
    """

    @staticmethod
    def forward(x: Tensor, min: float) -> tuple[Tensor, Any]:
        return torch.clamp_min(x, min), (x, min)

    @staticmethod
    def vjp(saved: Any, d_y: Tensor) -> tuple[Any, ...]:
        x, low = saved
        return (torch.where(x >= low, d_y, 0),)


@register_map("aten.clamp_max.default")
class ClampMax(Map):
    """y = min(x, u), u a number.
    dx = dy where x <= u, else 0
    """

    @staticmethod
    def forward(x: Tensor, max: float) -> tuple[Tensor, Any]:
        return torch.clamp_max(x, max), (x, max)

    @staticmethod
    def vjp(saved: Any, d_y: Tensor) -> tuple[Any, ...]:
        x, high = saved
        return (torch.where(x <= high, d_y, 0),)


@register_map("aten.clamp.Tensor", when=lambda inputs, _: None not in inputs[1:])
@register_map("aten.clip.Tensor", when=lambda inputs, _: None not in inputs[1:])
class ClampBetween(Map):
    """y = min(max(x, l), u).
    dx = dy where l <= x <= u,  dl = dy where x < l < u,  du = dy where u < x or u < l, else 0; summed where broadcast
    """

    @staticmethod
    def forward(x: Tensor, low: Tensor, high: Tensor) -> tuple[Tensor, Any]:
        return torch.clamp(x, low, high), (x, low, high)

    @staticmethod
    def vjp(saved: Any, d_y: Tensor) -> tuple[Any, ...]:
        x, low, high = saved
        d_x = torch.where((x >= low) & (x <= high), d_y, 0)
        d_low = torch.where((x < low) & (low < high), d_y, 0)
        d_high = torch.where((x > high) | (low > high), d_y, 0)
        return folded(d_x, form(x)), folded(d_low, form(low)), folded(d_high, form(high))


@register_map("aten.clamp_min.Tensor")
class ClampAbove(Map):
    """y = max(x, l).
    dx = dy where x >= l, else 0,  dl = dy where x < l, else 0; summed where broadcast
    """

    @staticmethod
    def forward(x: Tensor, low: Tensor) -> tuple[Tensor, Any]:
        return torch.clamp_min(x, low), (x, low)

    @staticmethod
    def vjp(saved: Any, d_y: Tensor) -> tuple[Any, ...]:
        x, low = saved
        inside = x >= low
        return folded(torch.where(inside, d_y, 0), form(x)), folded(torch.where(inside, 0, d_y), form(low))


@register_map("aten.clamp_max.Tensor")
class ClampBelow(Map):
    """y = min(x, u).
    dx = dy where x <= u, else 0,  du = dy where x > u, else 0; summed where broadcast
    """

    @staticmethod
    def forward(x: Tensor, high: Tensor) -> tuple[Tensor, Any]:
        return torch.clamp_max(x, high), (x, high)

    @staticmethod
    def vjp(saved: Any, d_y: Tensor) -> tuple[Any, ...]:
        x, high = saved
        inside = x <= high
        return folded(torch.where(inside, d_y, 0), form(x)), folded(torch.where(inside, 0, d_y), form(high))


def _shared(wins: Tensor, ties: Tensor, d_y: Tensor) -> Tensor:
    """dy where an operand wins, half of it where two are equal."""
    return torch.where(wins, d_y, torch.where(ties, d_y * 0.5, 0))


@register_map("aten.maximum.default")
@register_map("aten.max.other")
class Maximum(Map):
    """y = max(a, b).
    da = dy where a > b, dy / 2 where a = b, else 0, and db so; each summed over what was broadcast
    """

    @staticmethod
    def forward(a: Tensor, b: Tensor) -> tuple[Tensor, Any]:
        return torch.maximum(a, b), (a, b)

    @staticmethod
    def vjp(saved: Any, d_y: Tensor) -> tuple[Any, ...]:
        a, b = saved
        ties = a == b
        return folded(_shared(a > b, ties, d_y), form(a)), folded(_shared(b > a, ties, d_y), form(b))


@register_map("aten.minimum.default")
@register_map("aten.min.other")
class Minimum(Map):
    """y = min(a, b).
    da = dy where a < b, dy / 2 where a = b, else 0, and db so; each summed over what was broadcast
    """

    @staticmethod
    def forward(a: Tensor, b: Tensor) -> tuple[Tensor, Any]:
        return torch.minimum(a, b), (a, b)

    @staticmethod
    def vjp(saved: Any, d_y: Tensor) -> tuple[Any, ...]:
        a, b = saved
        ties = a == b
        return folded(_shared(a < b, ties, d_y), form(a)), folded(_shared(b < a, ties, d_y), form(b))


@register_map("aten.where.self")
class Where(Map):
    """y = a where c, else b.
    da = dy where c, else 0,  db = 0 where c, else dy; each summed over what was broadcast
    """

    @staticmethod
    def forward(condition: Tensor, a: Tensor, b: Tensor) -> tuple[Tensor, Any]:
        return torch.where(condition, a, b), (condition, form(a), form(b))

    @staticmethod
    def vjp(saved: Any, d_y: Tensor) -> tuple[Any, ...]:
        condition, a, b = saved
        return None, folded(torch.where(condition, d_y, 0), a), folded(torch.where(condition, 0, d_y), b)


@register_map("aten.where.ScalarOther")
class WhereElse(Map):
    """y = x where c, else a number.
    dx = dy where c, else 0; summed over what was broadcast
    """

    @staticmethod
    def forward(condition: Tensor, x: Tensor, other: float) -> tuple[Tensor, Any]:
        return torch.where(condition, x, other), (condition, form(x))

    @staticmethod
    def vjp(saved: Any, d_y: Tensor) -> tuple[Any, ...]:
        condition, x = saved
        return None, folded(torch.where(condition, d_y, 0), x)


@register_map("aten.where.ScalarSelf")
class WhereNumber(Map):
    """y = a number where c, else x.
    dx = 0 where c, else dy; summed over what was broadcast
    """

    @staticmethod
    def forward(condition: Tensor, x: Tensor, self: float) -> tuple[Tensor, Any]:
        return torch.where(condition, self, x), (condition, form(x))

    @staticmethod
    def vjp(saved: Any, d_y: Tensor) -> tuple[Any, ...]:
        condition, x = saved
        return None, folded(torch.where(condition, 0, d_y), x)


@register_map("aten.masked_fill.Scalar")
class MaskedFill(Map):
    """y = a number where m, else x.
    dx = 0 where m, else dy; summed over what was broadcast
    """

    @staticmethod
    def forward(x: Tensor, mask: Tensor, value: float) -> tuple[Tensor, Any]:
        return x.masked_fill(mask, value), (mask, form(x))

    @staticmethod
    def vjp(saved: Any, d_y: Tensor) -> tuple[Any, ...]:
        mask, x = saved
        return folded(d_y.masked_fill(mask, 0), x), None


@register_map("aten.masked_fill.Tensor")
class MaskedFillTensor(Map):
    """y = v where m, else x, v of no dimension.
    dx = 0 where m, else dy, summed over what was broadcast,  dv = the sum of dy where m
    """

    @staticmethod
    def forward(x: Tensor, mask: Tensor, value: Tensor) -> tuple[Tensor, Any]:
        return x.masked_fill(mask, value), (mask, form(x), form(value))

    @staticmethod
    def vjp(saved: Any, d_y: Tensor) -> tuple[Any, ...]:
        mask, x, value = saved
        return folded(d_y.masked_fill(mask, 0), x), None, folded(torch.where(mask, d_y, 0), value)
