"""Maps that sum, average or multiply over dimensions. M is the number of elements that fall into one."""

# ruff: noqa: D102 - the class's docstring holds the equations of both functions

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Size, Tensor

from distbp.maps.base import Map
from distbp.maps.registry import register_map


def kept(shape: Sequence[int], dim: int | Sequence[int] | None) -> list[int]:
    """``shape`` with length 1 along ``dim``, which is every dimension if it is None or empty."""
    dims = [dim] if isinstance(dim, int) else dim or range(len(shape))
    over = {d % max(len(shape), 1) for d in dims}
    return [1 if i in over else n for i, n in enumerate(shape)]


def same_dtype(inputs: Any, attributes: Any) -> bool:
    """Whether nothing is cast before it is reduced."""
    return attributes["dtype"] in (None, inputs[0].dtype)


@register_map("aten.sum.default", when=same_dtype)
class SumAll(Map):
    """y = sum x   (...) -> ().
    dx = dy everywhere
    """

    @staticmethod
    def forward(x: Tensor, dtype: torch.dtype | None = None) -> tuple[Tensor, Size]:  # noqa: ARG004
        return torch.sum(x), x.shape

    @staticmethod
    def vjp(shape: Size, d_y: Tensor) -> tuple[Any, ...]:
        return (d_y.expand(shape),)


@register_map("aten.mean.default", when=same_dtype)
class MeanAll(Map):
    """y = sum x / M   (...) -> ().
    dx = dy / M everywhere
    """

    @staticmethod
    def forward(x: Tensor, dtype: torch.dtype | None = None) -> tuple[Tensor, Size]:  # noqa: ARG004
        return torch.mean(x), x.shape

    @staticmethod
    def vjp(shape: Size, d_y: Tensor) -> tuple[Any, ...]:
        return ((d_y / shape.numel()).expand(shape),)


@register_map("aten.sum.dim_IntList", when=same_dtype)
class SumOver(Map):
    """y = sum_dim x.
    dx = dy, repeated along dim
    """

    @staticmethod
    def forward(
        x: Tensor,
        dim: list[int] | None,
        keepdim: bool = False,
        dtype: torch.dtype | None = None,  # noqa: ARG004
    ) -> tuple[Tensor, Any]:
        return torch.sum(x, dim, keepdim=keepdim), (x.shape, dim)

    @staticmethod
    def vjp(saved: Any, d_y: Tensor) -> tuple[Any, ...]:
        shape, dim = saved
        return (d_y.reshape(kept(shape, dim)).expand(shape),)


@register_map("aten.mean.dim", when=same_dtype)
class MeanOver(Map):
    """y = sum_dim x / M.
    dx = dy / M, repeated along dim
    """

    @staticmethod
    def forward(
        x: Tensor,
        dim: list[int] | None,
        keepdim: bool = False,
        dtype: torch.dtype | None = None,  # noqa: ARG004
    ) -> tuple[Tensor, Any]:
        return torch.mean(x, dim, keepdim=keepdim), (x.shape, dim)

    @staticmethod
    def vjp(saved: Any, d_y: Tensor) -> tuple[Any, ...]:
        shape, dim = saved
        small = kept(shape, dim)
        count = math.prod(shape) / max(math.prod(small), 1)
        return ((d_y / count).reshape(small).expand(shape),)


def _others(x: Tensor, dim: int) -> Tensor:
    """For each element the product of all others along ``dim``: of those before it and of those after it."""
    n = x.shape[dim]
    one = x.new_ones(x.select(dim, 0).unsqueeze(dim).shape)
    before = torch.cat([one, x.narrow(dim, 0, n - 1)], dim).cumprod(dim)
    after = torch.cat([one, x.narrow(dim, 1, n - 1).flip(dim)], dim).cumprod(dim).flip(dim)
    return before.mul_(after)


@register_map("aten.prod.default", when=lambda i, a: same_dtype(i, a) and 0 not in i[0].shape)
class ProductAll(Map):
    """y = prod x   (...) -> ().
    dx_i = dy prod_{j /= i} x_j
    """

    @staticmethod
    def forward(x: Tensor, dtype: torch.dtype | None = None) -> tuple[Tensor, Tensor]:  # noqa: ARG004
        return torch.prod(x), x

    @staticmethod
    def vjp(x: Tensor, d_y: Tensor) -> tuple[Any, ...]:
        return (_others(x.reshape(-1), 0).mul_(d_y).reshape(x.shape),)


@register_map("aten.prod.dim_int", when=lambda i, a: same_dtype(i, a) and 0 not in i[0].shape and i[0].shape)
class ProductOver(Map):
    """y = prod_dim x.
    dx_i = dy prod_{j /= i} x_j, j along dim
    """

    @staticmethod
    def forward(
        x: Tensor,
        dim: int,
        keepdim: bool = False,
        dtype: torch.dtype | None = None,  # noqa: ARG004
    ) -> tuple[Tensor, Any]:
        return torch.prod(x, dim, keepdim), (x, dim)

    @staticmethod
    def vjp(saved: Any, d_y: Tensor) -> tuple[Any, ...]:
        x, dim = saved
        return (_others(x, dim).mul_(d_y.reshape(kept(x.shape, dim))),)


@register_map("aten.cumsum.default", when=same_dtype)
class CumulativeSum(Map):
    """y_i = sum_{j <= i} x_j, j along dim.
    dx_j = sum_{i >= j} dy_i
    """

    @staticmethod
    def forward(x: Tensor, dim: int, dtype: torch.dtype | None = None) -> tuple[Tensor, int]:  # noqa: ARG004
        return torch.cumsum(x, dim), dim

    @staticmethod
    def vjp(dim: int, d_y: Tensor) -> tuple[Any, ...]:
        return (d_y.flip(dim).cumsum(dim).flip(dim),)


@register_map("aten.cumprod.default", when=lambda i, a: same_dtype(i, a) and i[0].shape)
class CumulativeProduct(Map):
    """y_i = prod_{j <= i} x_j, j along dim.
    dx_j = y_{j-1} s_j,  s_j = dy_j + x_{j+1} s_{j+1}: no division, so that a zero is a number like others
    """

    @staticmethod
    def forward(x: Tensor, dim: int, dtype: torch.dtype | None = None) -> tuple[Tensor, Any]:  # noqa: ARG004
        y = torch.cumprod(x, dim)
        return y, (x, y, dim)

    @staticmethod
    def vjp(saved: Any, d_y: Tensor) -> tuple[Any, ...]:
        x, y, dim = saved
        n = x.shape[dim]
        if n < 2:
            return (d_y,)
        before = torch.cat([torch.ones_like(x.narrow(dim, 0, 1)), y.narrow(dim, 0, n - 1)], dim)
        factor = torch.cat([x.narrow(dim, 1, n - 1), torch.zeros_like(x.narrow(dim, 0, 1))], dim)
        return (before.mul_(_recurrence(factor, d_y, dim)),)


def _recurrence(a: Tensor, b: Tensor, dim: int) -> Tensor:
    """s_j = b_j + a_j s_{j+1} along ``dim``, the last a being 0, in log2 n steps (Hillis and Steele 1986): after each,
    a_j and b_j stand for twice as many terms.
    """
    n, step = a.shape[dim], 1
    while step < n:
        left, right = (0, n - step), (step, n - step)
        end = n - step, step
        b = torch.cat([b.narrow(dim, *left) + a.narrow(dim, *left) * b.narrow(dim, *right), b.narrow(dim, *end)], dim)
        a = torch.cat([a.narrow(dim, *left) * a.narrow(dim, *right), a.narrow(dim, *end)], dim)
        step *= 2
    return b
