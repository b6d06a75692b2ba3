"""Images of another size, interpolated. N examples, C channels, P positions in (one to three dimensions), Q out.

Every map is linear: y_q = sum_p w_qp x_p, with weights w that the two sizes, or the scale factors, decide.
"""

# ruff: noqa: D102, PLR0917 - the class's docstring holds the equations of both functions; the arguments are the op's

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from distbp.maps.base import Map
from distbp.maps.registry import Rule, register_map

Size = Sequence[int] | None
Factors = Sequence[float] | None

SCALES = {1: ("scales",), 2: ("scales_h", "scales_w"), 3: ("scales_d", "scales_h", "scales_w")}
"""The arguments that hold the scale factors, where an op takes them one by one."""


def _both(*names: str) -> Callable[[Rule], Rule]:
    """Declare a map of these ops, with the scale factors in a list (``vec``) and one by one (``default``)."""

    def declare(rule: Rule) -> Rule:
        for name in names:
            for overload in ("vec", "default"):
                register_map(f"aten.{name}.{overload}")(rule)
        return rule

    return declare


@_both("upsample_nearest1d", "upsample_nearest2d", "upsample_nearest3d")
class Nearest(Map):
    """y_q = x_p, p = floor(q P / Q)   (N,C,P) -> (N,C,Q).
    dx_p = sum_(q from p) dy_q
    """

    @staticmethod
    def forward(
        x: Tensor, output_size: Size = None, scale_factors: Factors = None, **scales: float | None
    ) -> tuple[Tensor, Any]:
        return _resized(f"upsample_nearest{x.dim() - 2}d", x, output_size, (), scale_factors, scales)

    @staticmethod
    def vjp(saved: Any, d_y: Tensor) -> tuple[Any, ...]:
        return _restored(saved, d_y)


@_both("_upsample_nearest_exact1d", "_upsample_nearest_exact2d", "_upsample_nearest_exact3d")
class NearestExact(Map):
    """y_q = x_p, p = floor((q + 1/2) P / Q)   (N,C,P) -> (N,C,Q).
    dx_p = sum_(q from p) dy_q
    """

    @staticmethod
    def forward(
        x: Tensor, output_size: Size = None, scale_factors: Factors = None, **scales: float | None
    ) -> tuple[Tensor, Any]:
        return _resized(f"_upsample_nearest_exact{x.dim() - 2}d", x, output_size, (), scale_factors, scales)

    @staticmethod
    def vjp(saved: Any, d_y: Tensor) -> tuple[Any, ...]:
        return _restored(saved, d_y)


@_both("upsample_linear1d", "upsample_bilinear2d", "upsample_trilinear3d")
class Linear(Map):
    """y_q = sum_p w_qp x_p over the two neighbours of q in each dimension   (N,C,P) -> (N,C,Q).
    dx_p = sum_q w_qp dy_q
    """

    @staticmethod
    def forward(
        x: Tensor, output_size: Size, align_corners: bool, scale_factors: Factors = None, **scales: float | None
    ) -> tuple[Tensor, Any]:
        name = ("upsample_linear1d", "upsample_bilinear2d", "upsample_trilinear3d")[x.dim() - 3]
        return _resized(name, x, output_size, (align_corners,), scale_factors, scales)

    @staticmethod
    def vjp(saved: Any, d_y: Tensor) -> tuple[Any, ...]:
        return _restored(saved, d_y)


@_both("upsample_bicubic2d")
class Cubic(Map):
    """y_q = sum_p w_qp x_p over the four neighbours of q in each dimension   (N,C,P) -> (N,C,Q).
    dx_p = sum_q w_qp dy_q
    """

    @staticmethod
    def forward(
        x: Tensor, output_size: Size, align_corners: bool, scale_factors: Factors = None, **scales: float | None
    ) -> tuple[Tensor, Any]:
        return _resized("upsample_bicubic2d", x, output_size, (align_corners,), scale_factors, scales)

    @staticmethod
    def vjp(saved: Any, d_y: Tensor) -> tuple[Any, ...]:
        return _restored(saved, d_y)


@_both("_upsample_bilinear2d_aa")
class LinearSmoothed(Map):
    """y_q = sum_p w_qp x_p over the triangle around q, as wide as one step of y   (N,C,P) -> (N,C,Q).
    dx_p = sum_q w_qp dy_q
    """

    @staticmethod
    def forward(
        x: Tensor, output_size: Size, align_corners: bool, scale_factors: Factors = None, **scales: float | None
    ) -> tuple[Tensor, Any]:
        return _resized("_upsample_bilinear2d_aa", x, output_size, (align_corners,), scale_factors, scales)

    @staticmethod
    def vjp(saved: Any, d_y: Tensor) -> tuple[Any, ...]:
        return _restored(saved, d_y)


@_both("_upsample_bicubic2d_aa")
class CubicSmoothed(Map):
    """y_q = sum_p w_qp x_p over the cubic curve around q, as wide as one step of y   (N,C,P) -> (N,C,Q).
    dx_p = sum_q w_qp dy_q
    """

    @staticmethod
    def forward(
        x: Tensor, output_size: Size, align_corners: bool, scale_factors: Factors = None, **scales: float | None
    ) -> tuple[Tensor, Any]:
        return _resized("_upsample_bicubic2d_aa", x, output_size, (align_corners,), scale_factors, scales)

    @staticmethod
    def vjp(saved: Any, d_y: Tensor) -> tuple[Any, ...]:
        return _restored(saved, d_y)


def _resized(
    name: str, x: Tensor, output_size: Size, corners: tuple[bool, ...], listed: Factors, scales: Mapping[str, Any]
) -> tuple[Tensor, Any]:
    """The op's output, and what its transpose reads: the op, both sizes and the rest of its arguments."""
    factors: Sequence[float | None] = listed or [scales.get(key) for key in SCALES[x.dim() - 2]]
    size = output_size or [int(length * f) for length, f in zip(x.shape[2:], listed or (), strict=True)]
    told = (*corners, *factors)
    return getattr(torch.ops.aten, name).default(x, size, *told), (name, size, [*x.shape], told)


def _restored(saved: Any, d_y: Tensor) -> tuple[Any, ...]:
    """The op's transpose."""
    name, size, shape, told = saved
    return (getattr(torch.ops.aten, f"{name}_backward")(d_y, size, shape, *told),)
