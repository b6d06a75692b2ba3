"""Variance over dimensions. m is the mean, M the number of elements that fall into one."""

# ruff: noqa: D102 - the class's docstring holds the equations of both functions

import math
from typing import Any

import torch
from torch import Tensor

from distbp.maps.base import Map
from distbp.maps.reduce import kept
from distbp.maps.registry import register_map

Dims = list[int] | None


def spread(x: Tensor, dim: Dims, correction: float | None, keepdim: bool) -> tuple[Tensor, Tensor, Any]:
    """The variance, the mean, and what their VJP reads."""
    correction = 1 if correction is None else correction
    y, mean = torch.var_mean(x, dim or None, correction=correction, keepdim=keepdim)
    return y, mean, (x, mean, dim, correction)


def d_spread(saved: Any, d_y: Tensor | None, d_mean: Tensor | None) -> Tensor:
    """2 (x - m) dy / (M - correction) + dm / M."""
    x, mean, dim, correction = saved
    small = kept(x.shape, dim)
    count = x.numel() / max(math.prod(small), 1)
    parts: list[Tensor] = []
    if d_y is not None:
        scale = 2 / (count - correction) if count > correction else math.inf
        parts.append((x - mean.reshape(small)).mul_((d_y * scale).reshape(small)))
    if d_mean is not None:
        parts.append((d_mean / count).reshape(small).expand(x.shape))
    return parts[0] if len(parts) == 1 else parts[0].add_(parts[1])


@register_map("aten.var.correction")
class Variance(Map):
    """y = sum_dim (x - m)^2 / (M - correction).
    dx = 2 (x - m) dy / (M - correction)
    """

    @staticmethod
    def forward(
        x: Tensor, dim: Dims = None, correction: float | None = None, keepdim: bool = False
    ) -> tuple[Tensor, Any]:
        y, _, saved = spread(x, dim, correction, keepdim)
        return y, saved

    @staticmethod
    def vjp(saved: Any, d_y: Tensor) -> tuple[Any, ...]:
        return (d_spread(saved, d_y, None),)


@register_map("aten.var.dim")
class VarianceOver(Map):
    """y = sum_dim (x - m)^2 / (M - correction).
    dx = 2 (x - m) dy / (M - correction)
    """

    @staticmethod
    def forward(x: Tensor, dim: Dims, unbiased: bool = True, keepdim: bool = False) -> tuple[Tensor, Any]:
        y, _, saved = spread(x, dim, int(unbiased), keepdim)
        return y, saved

    @staticmethod
    def vjp(saved: Any, d_y: Tensor) -> tuple[Any, ...]:
        return (d_spread(saved, d_y, None),)


@register_map("aten.var.default")
class VarianceAll(Map):
    """y = sum_dim (x - m)^2 / (M - correction).
    dx = 2 (x - m) dy / (M - correction)
    """

    @staticmethod
    def forward(x: Tensor, unbiased: bool = True) -> tuple[Tensor, Any]:
        y, _, saved = spread(x, None, int(unbiased), False)
        return y, saved

    @staticmethod
    def vjp(saved: Any, d_y: Tensor) -> tuple[Any, ...]:
        return (d_spread(saved, d_y, None),)


@register_map("aten.var_mean.correction")
class VarianceMean(Map):
    """y = sum_dim (x - m)^2 / (M - correction),  m = sum_dim x / M.
    dx = 2 (x - m) dy / (M - correction) + dm / M
    """

    @staticmethod
    def forward(
        x: Tensor, dim: Dims = None, correction: float | None = None, keepdim: bool = False
    ) -> tuple[tuple[Tensor, Tensor], Any]:
        y, mean, saved = spread(x, dim, correction, keepdim)
        return (y, mean), saved

    @staticmethod
    def vjp(saved: Any, d_outputs: tuple[Tensor | None, ...]) -> tuple[Any, ...]:
        return (d_spread(saved, *d_outputs),)


@register_map("aten.var_mean.dim")
class VarianceMeanOver(Map):
    """y = sum_dim (x - m)^2 / (M - correction),  m = sum_dim x / M.
    dx = 2 (x - m) dy / (M - correction) + dm / M
    """

    @staticmethod
    def forward(
        x: Tensor, dim: Dims, unbiased: bool = True, keepdim: bool = False
    ) -> tuple[tuple[Tensor, Tensor], Any]:
        y, mean, saved = spread(x, dim, int(unbiased), keepdim)
        return (y, mean), saved

    @staticmethod
    def vjp(saved: Any, d_outputs: tuple[Tensor | None, ...]) -> tuple[Any, ...]:
        return (d_spread(saved, *d_outputs),)


@register_map("aten.var_mean.default")
class VarianceMeanAll(Map):
    """y = sum_dim (x - m)^2 / (M - correction),  m = sum_dim x / M.
    dx = 2 (x - m) dy / (M - correction) + dm / M
    """

    @staticmethod
    def forward(x: Tensor, unbiased: bool = True) -> tuple[tuple[Tensor, Tensor], Any]:
        y, mean, saved = spread(x, None, int(unbiased), False)
        return (y, mean), saved

    @staticmethod
    def vjp(saved: Any, d_outputs: tuple[Tensor | None, ...]) -> tuple[Any, ...]:
        return (d_spread(saved, *d_outputs),)
