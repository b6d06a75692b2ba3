"""Maps that reduce what has the same number into one place: sums, means and extremes over groups, as in graph nets.

The value v at a place of i goes, along ``dim``, to the place whose number i is; x stands there already, and is one term
of what comes to lie there or, without ``include_self``, makes room.
"""

# ruff: noqa: D102 - the class's docstring holds the equations of both functions

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from distbp.maps.base import Map
from distbp.maps.index import added
from distbp.maps.registry import register_map


def _by(*reduce: str) -> Callable[[Any, Any], bool]:
    return lambda inputs, told: told["reduce"] in reduce and inputs[1].shape == inputs[2].shape


def _remaining(x: Tensor, index: Tensor, dim: int, include_self: bool) -> Tensor:
    """x where it counts, else 0."""
    return x if include_self else torch.scatter(x, dim, index, 0)


@register_map("aten.scatter_reduce.two", when=_by("sum"))
class ScatterSum(Map):
    """y = x + the sum of the v that go there.
    dx = dy, or 0 where x makes room,  dv = dy there
    """

    @staticmethod
    def forward(  # noqa: PLR0917 - the arguments of torch's op
        x: Tensor,
        index: Tensor,
        source: Tensor,
        dim: int,
        reduce: str,  # noqa: ARG004
        include_self: bool = True,
    ) -> tuple[Tensor, Any]:
        return added(_remaining(x, index, dim, include_self), index, source, dim), (index, dim, include_self)

    @staticmethod
    def vjp(saved: Any, d_y: Tensor) -> tuple[Any, ...]:
        index, dim, include_self = saved
        return _remaining(d_y, index, dim, include_self), None, torch.gather(d_y, dim, index)


@register_map("aten.scatter_reduce.two", when=_by("mean"))
class ScatterMean(Map):
    """y = (x + the sum of the v that go there) / how many these are.
    dx = dy / their number, or 0 where x makes room,  dv = dy / their number there
    """

    @staticmethod
    def forward(x: Tensor, index: Tensor, source: Tensor, **told: Any) -> tuple[Tensor, Any]:
        count, saved = ScatterSum.forward(torch.ones_like(x), index, torch.ones_like(source), **told)
        return ScatterSum.forward(x, index, source, **told)[0] / count, (count, saved)

    @staticmethod
    def vjp(saved: Any, d_y: Tensor) -> tuple[Any, ...]:
        count, of_sum = saved
        return ScatterSum.vjp(of_sum, d_y / count)


@register_map("aten.scatter_reduce.two", when=_by("amax", "amin"))
class ScatterExtreme(Map):
    """y = the largest, or smallest, of x and the v that go there.
    dx, dv = dy in equal parts to those that are y, else 0
    """

    @staticmethod
    def forward(  # noqa: PLR0917 - the arguments of torch's op
        x: Tensor, index: Tensor, source: Tensor, dim: int, reduce: str, include_self: bool = True
    ) -> tuple[Tensor, Any]:
        y = torch.scatter_reduce(x, dim, index, source, reduce, include_self=include_self)
        return y, (x, y, index, source, dim, include_self)

    @staticmethod
    def vjp(saved: Any, d_y: Tensor) -> tuple[Any, ...]:
        x, y, index, source, dim, include_self = saved
        own = _remaining((x == y).to(d_y.dtype), index, dim, include_self)
        others = (source == torch.gather(y, dim, index)).to(d_y.dtype)
        d = d_y / added(own, index, others, dim)
        return own.mul_(d), None, others.mul_(torch.gather(d, dim, index))
