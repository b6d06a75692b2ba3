"""Pooling: each output is the maximum or the mean of a window. N examples, C channels, P positions in, Q windows.

The kernels of the backward pass read x's shape and layout only: where its layout is the plain one, x is not kept.
"""

# ruff: noqa: D102, PLR0917 - the class's docstring holds the equations of both functions; the arguments are the op's

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from distbp.maps.base import Map
from distbp.maps.registry import register_map

Ints = Sequence[int] | int
aten = torch.ops.aten


@register_map("aten.max_pool2d_with_indices.default")
class MaxPoolIndices2d(Map):
    """y_q = x_i(q), i(q) the first maximum of window q   (N,C,P) -> (N,C,Q) (N,C,Q).
    dx_p = sum_q [p = i(q)] dy_q
    """

    @staticmethod
    def forward(
        x: Tensor, kernel_size: Ints, stride: Ints = (),
        padding: Ints = 0, dilation: Ints = 1, ceil_mode: bool = False,
    ) -> tuple[Any, Any]:  # fmt: skip
        told = (kernel_size, stride, padding, dilation, ceil_mode)
        y, i = aten.max_pool2d_with_indices(x, *told)
        return (y, i), (shell(x), i, told)

    @staticmethod
    def vjp(saved: Any, d_outputs: Any) -> tuple[Any, ...]:
        known, i, told = saved
        d_y, _ = d_outputs
        return (aten.max_pool2d_with_indices_backward(d_y, shaped(known, d_y), *told, i),)


@register_map("aten.max_pool2d.default")
class MaxPool2d(Map):
    """y_q = max of x over window q   (N,C,P) -> (N,C,Q).
    dx_p = sum_q [p = i(q)] dy_q, i(q) the first maximum of window q
    """

    @staticmethod
    def forward(x: Tensor, kernel_size: Ints, **attributes: Any) -> tuple[Tensor, Any]:
        (y, _), saved = MaxPoolIndices2d.forward(x, kernel_size, **attributes)
        return y, saved

    @staticmethod
    def vjp(saved: Any, d_y: Tensor) -> tuple[Any, ...]:
        return MaxPoolIndices2d.vjp(saved, (d_y, None))


@register_map("aten.max_pool1d_with_indices.default")
class MaxPoolIndices1d(Map):
    """y_q = x_i(q), i(q) the first maximum of window q   (N,C,P) -> (N,C,Q) (N,C,Q).
    dx_p = sum_q [p = i(q)] dy_q
    """

    @staticmethod
    def forward(
        x: Tensor, kernel_size: Ints, stride: Ints = (),
        padding: Ints = 0, dilation: Ints = 1, ceil_mode: bool = False,
    ) -> tuple[Any, Any]:  # fmt: skip
        step = _row(stride, 1) if stride else ()
        told = (_row(kernel_size, 1), step, _row(padding, 0), _row(dilation, 1), ceil_mode)
        (y, i), saved = MaxPoolIndices2d.forward(x.unsqueeze(-2), *told)
        return (y.squeeze(-2), i.squeeze(-2)), saved

    @staticmethod
    def vjp(saved: Any, d_outputs: Any) -> tuple[Any, ...]:
        (d_x,) = MaxPoolIndices2d.vjp(saved, (d_outputs[0].unsqueeze(-2), None))
        return (d_x.squeeze(-2),)


@register_map("aten.max_pool1d.default")
class MaxPool1d(Map):
    """y_q = max of x over window q   (N,C,P) -> (N,C,Q).
    dx_p = sum_q [p = i(q)] dy_q, i(q) the first maximum of window q
    """

    @staticmethod
    def forward(x: Tensor, kernel_size: Ints, **attributes: Any) -> tuple[Tensor, Any]:
        (y, _), saved = MaxPoolIndices1d.forward(x, kernel_size, **attributes)
        return y, saved

    @staticmethod
    def vjp(saved: Any, d_y: Tensor) -> tuple[Any, ...]:
        return MaxPoolIndices1d.vjp(saved, (d_y, None))


@register_map("aten.max_pool3d_with_indices.default")
class MaxPoolIndices3d(Map):
    """y_q = x_i(q), i(q) the first maximum of window q   (N,C,P) -> (N,C,Q) (N,C,Q).
    dx_p = sum_q [p = i(q)] dy_q
    """

    @staticmethod
    def forward(
        x: Tensor, kernel_size: Ints, stride: Ints = (),
        padding: Ints = 0, dilation: Ints = 1, ceil_mode: bool = False,
    ) -> tuple[Any, Any]:  # fmt: skip
        told = (kernel_size, stride, padding, dilation, ceil_mode)
        y, i = aten.max_pool3d_with_indices(x, *told)
        return (y, i), (shell(x), i, told)

    @staticmethod
    def vjp(saved: Any, d_outputs: Any) -> tuple[Any, ...]:
        known, i, told = saved
        d_y, _ = d_outputs
        return (aten.max_pool3d_with_indices_backward(d_y, shaped(known, d_y), *told, i),)


@register_map("aten.max_pool3d.default")
class MaxPool3d(Map):
    """y_q = max of x over window q   (N,C,P) -> (N,C,Q).
    dx_p = sum_q [p = i(q)] dy_q, i(q) the first maximum of window q
    """

    @staticmethod
    def forward(x: Tensor, kernel_size: Ints, **attributes: Any) -> tuple[Tensor, Any]:
        (y, _), saved = MaxPoolIndices3d.forward(x, kernel_size, **attributes)
        return y, saved

    @staticmethod
    def vjp(saved: Any, d_y: Tensor) -> tuple[Any, ...]:
        return MaxPoolIndices3d.vjp(saved, (d_y, None))


@register_map("aten.avg_pool2d.default")
class MeanPool2d(Map):
    """y_q = sum_(p in q) x_p / M, M the size of window q   (N,C,P) -> (N,C,Q).
    dx_p = sum_(q with p) dy_q / M
    """

    @staticmethod
    def forward(
        x: Tensor, kernel_size: Ints, stride: Ints = (), padding: Ints = 0,
        ceil_mode: bool = False, count_include_pad: bool = True, divisor_override: int | None = None,
    ) -> tuple[Tensor, Any]:  # fmt: skip
        told = (kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)
        return aten.avg_pool2d(x, *told), (shell(x), told)

    @staticmethod
    def vjp(saved: Any, d_y: Tensor) -> tuple[Any, ...]:
        known, told = saved
        return (aten.avg_pool2d_backward(d_y, shaped(known, d_y), *told),)


@register_map("aten.avg_pool1d.default")
class MeanPool1d(Map):
    """y_q = sum_(p in q) x_p / M, M the size of window q   (N,C,P) -> (N,C,Q).
    dx_p = sum_(q with p) dy_q / M
    """

    @staticmethod
    def forward(
        x: Tensor, kernel_size: Ints, stride: Ints = (), padding: Ints = 0,
        ceil_mode: bool = False, count_include_pad: bool = True,
    ) -> tuple[Tensor, Any]:  # fmt: skip
        told = (_row(kernel_size, 1), _row(stride, 1) if stride else (), _row(padding, 0), ceil_mode, count_include_pad)
        y, saved = MeanPool2d.forward(x.unsqueeze(-2), *told)
        return y.squeeze(-2), saved

    @staticmethod
    def vjp(saved: Any, d_y: Tensor) -> tuple[Any, ...]:
        (d_x,) = MeanPool2d.vjp(saved, d_y.unsqueeze(-2))
        return (d_x.squeeze(-2),)


@register_map("aten.avg_pool3d.default")
class MeanPool3d(Map):
    """y_q = sum_(p in q) x_p / M, M the size of window q   (N,C,P) -> (N,C,Q).
    dx_p = sum_(q with p) dy_q / M
    """

    @staticmethod
    def forward(
        x: Tensor, kernel_size: Ints, stride: Ints = (), padding: Ints = 0,
        ceil_mode: bool = False, count_include_pad: bool = True, divisor_override: int | None = None,
    ) -> tuple[Tensor, Any]:  # fmt: skip
        told = (kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)
        return aten.avg_pool3d(x, *told), (shell(x), told)

    @staticmethod
    def vjp(saved: Any, d_y: Tensor) -> tuple[Any, ...]:
        known, told = saved
        return (aten.avg_pool3d_backward(d_y, shaped(known, d_y), *told),)


@register_map("aten.fractional_max_pool2d.default")
class FractionalMaxPool2d(Map):
    """y_q = x_i(q), i(q) the maximum of a window whose place is drawn (N,C,2)   (N,C,P) -> (N,C,Q) (N,C,Q).
    dx_p = sum_q [p = i(q)] dy_q   (Graham 2014)
    """

    @staticmethod
    def forward(x: Tensor, random_samples: Tensor, *, kernel_size: Ints, output_size: Ints) -> tuple[Any, Any]:
        y, i = aten.fractional_max_pool2d(x, kernel_size, output_size, random_samples)
        return (y, i), (shell(x), i, (kernel_size, output_size))

    @staticmethod
    def vjp(saved: Any, d_outputs: Any) -> tuple[Any, ...]:
        known, i, told = saved
        d_y, _ = d_outputs
        return aten.fractional_max_pool2d_backward(d_y, shaped(known, d_y), *told, i), None


@register_map("aten.fractional_max_pool3d.default")
class FractionalMaxPool3d(Map):
    """y_q = x_i(q), i(q) the maximum of a window whose place is drawn (N,C,3)   (N,C,P) -> (N,C,Q) (N,C,Q).
    dx_p = sum_q [p = i(q)] dy_q   (Graham 2014)
    """

    @staticmethod
    def forward(x: Tensor, random_samples: Tensor, *, kernel_size: Ints, output_size: Ints) -> tuple[Any, Any]:
        y, i = aten.fractional_max_pool3d(x, kernel_size, output_size, random_samples)
        return (y, i), (shell(x), i, (kernel_size, output_size))

    @staticmethod
    def vjp(saved: Any, d_outputs: Any) -> tuple[Any, ...]:
        known, i, told = saved
        d_y, _ = d_outputs
        return aten.fractional_max_pool3d_backward(d_y, shaped(known, d_y), *told, i), None


def _row(number: Ints, above: int) -> list[int]:
    """A number for one dimension as the numbers of an image of one row."""
    return [above, number if isinstance(number, int) else number[0]]


def shell(x: Tensor) -> Any:
    """What the backward kernels read of x: its shape, or x itself where only x tells its layout."""
    return x.shape if x.is_contiguous() and not x.is_cuda else x


def shaped(known: Any, d_y: Tensor) -> Tensor:
    """A tensor of x's shape: x itself, or the first element of dy repeated, which takes no memory."""
    return known if isinstance(known, Tensor) else d_y.as_strided(known, [0] * len(known))
