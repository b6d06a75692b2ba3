"""Standard deviation over dimensions. m is the mean, M the number of elements that fall into one."""

# ruff: noqa: D102 - the class's docstring holds the equations of both functions

from typing import Any

import torch
from torch import Tensor

from distbp.maps.base import Map
from distbp.maps.registry import register_map
from distbp.maps.variance import Dims, d_spread, spread


def _squared(y: Tensor, d_y: Tensor | None) -> Tensor | None:
    """dy of the variance from that of its root y, 0 where y = 0."""
    return None if d_y is None else (d_y / (y * 2)).masked_fill_(y == 0, 0)


@register_map("aten.std.correction")
class Deviation(Map):
    """y = sqrt(sum_dim (x - m)^2 / (M - correction)).
    dx = (x - m) dy / (y (M - correction)), 0 where y = 0
    """

    @staticmethod
    def forward(
        x: Tensor, dim: Dims = None, correction: float | None = None, keepdim: bool = False
    ) -> tuple[Tensor, Any]:
        y, _, saved = spread(x, dim, correction, keepdim)
        y = torch.sqrt(y)
        return y, (saved, y)

    @staticmethod
    def vjp(saved: Any, d_y: Tensor) -> tuple[Any, ...]:
        return (d_spread(saved[0], _squared(saved[1], d_y), None),)


@register_map("aten.std.dim")
class DeviationOver(Map):
    """y = sqrt(sum_dim (x - m)^2 / (M - correction)).
    dx = (x - m) dy / (y (M - correction)), 0 where y = 0
    """

    @staticmethod
    def forward(x: Tensor, dim: Dims, unbiased: bool = True, keepdim: bool = False) -> tuple[Tensor, Any]:
        y, _, saved = spread(x, dim, int(unbiased), keepdim)
        y = torch.sqrt(y)
        return y, (saved, y)

    @staticmethod
    def vjp(saved: Any, d_y: Tensor) -> tuple[Any, ...]:
        return (d_spread(saved[0], _squared(saved[1], d_y), None),)


@register_map("aten.std.default")
class DeviationAll(Map):
    """y = sqrt(sum_dim (x - m)^2 / (M - correction)).
    dx = (x - m) dy / (y (M - correction)), 0 where y = 0
    """

    @staticmethod
    def forward(x: Tensor, unbiased: bool = True) -> tuple[Tensor, Any]:
        y, _, saved = spread(x, None, int(unbiased), False)
        y = torch.sqrt(y)
        return y, (saved, y)

    @staticmethod
    def vjp(saved: Any, d_y: Tensor) -> tuple[Any, ...]:
        return (d_spread(saved[0], _squared(saved[1], d_y), None),)


@register_map("aten.std_mean.correction")
class DeviationMean(Map):
    """y = sqrt(sum_dim (x - m)^2 / (M - correction)),  m = sum_dim x / M.
    dx = (x - m) dy / (y (M - correction)) + dm / M
    """

    @staticmethod
    def forward(
        x: Tensor, dim: Dims = None, correction: float | None = None, keepdim: bool = False
    ) -> tuple[tuple[Tensor, Tensor], Any]:
        y, mean, saved = spread(x, dim, correction, keepdim)
        y = torch.sqrt(y)
        return (y, mean), (saved, y)

    @staticmethod
    def vjp(saved: Any, d_outputs: tuple[Tensor | None, ...]) -> tuple[Any, ...]:
        return (d_spread(saved[0], _squared(saved[1], d_outputs[0]), d_outputs[1]),)


@register_map("aten.std_mean.dim")
class DeviationMeanOver(Map):
    """y = sqrt(sum_dim (x - m)^2 / (M - correction)),  m = sum_dim x / M.
    dx = (x - m) dy / (y (M - correction)) + dm / M
    """

    @staticmethod
    def forward(
        x: Tensor, dim: Dims, unbiased: bool = True, keepdim: bool = False
    ) -> tuple[tuple[Tensor, Tensor], Any]:
        y, mean, saved = spread(x, dim, int(unbiased), keepdim)
        y = torch.sqrt(y)
        return (y, mean), (saved, y)

    @staticmethod
    def vjp(saved: Any, d_outputs: tuple[Tensor | None, ...]) -> tuple[Any, ...]:
        return (d_spread(saved[0], _squared(saved[1], d_outputs[0]), d_outputs[1]),)


@register_map("aten.std_mean.default")
class DeviationMeanAll(Map):
    """y = sqrt(sum_dim (x - m)^2 / (M - correction)),  m = sum_dim x / M.
    dx = (x - m) dy / (y (M - correction)) + dm / M
    """

    @staticmethod
    def forward(x: Tensor, unbiased: bool = True) -> tuple[tuple[Tensor, Tensor], Any]:
        y, mean, saved = spread(x, None, int(unbiased), False)
        y = torch.sqrt(y)
        return (y, mean), (saved, y)

    @staticmethod
    def vjp(saved: Any, d_outputs: tuple[Tensor | None, ...]) -> tuple[Any, ...]:
        return (d_spread(saved[0], _squared(saved[1], d_outputs[0]), d_outputs[1]),)
