"""Maps that move whole windows: the columns of a convolution, and maxima back to where they came from.

N examples, C channels, P positions of the image, Q windows, K positions of a window.
"""

# ruff: noqa: D102, PLR0917 - the class's docstring holds the equations of both functions; the arguments are the op's

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from distbp.maps.base import Map
from distbp.maps.registry import register_map

Ints = Sequence[int]
aten = torch.ops.aten


@register_map("aten.im2col.default")
class Unfold(Map):
    """y_ckq = x_cp, p the position k of window q   (N,C,P) -> (N,CK,Q).
    dx_cp = sum_(k,q at p) dy_ckq
    """

    @staticmethod
    def forward(
        x: Tensor, kernel_size: Ints, dilation: Ints, padding: Ints, stride: Ints
    ) -> tuple[Tensor, Any]:  # fmt: skip
        told = (kernel_size, dilation, padding, stride)
        return aten.im2col(x, *told), (x.shape[-2:], told)

    @staticmethod
    def vjp(saved: Any, d_y: Tensor) -> tuple[Any, ...]:
        size, told = saved
        return (aten.col2im(d_y, size, *told),)


@register_map("aten.col2im.default")
class Fold(Map):
    """y_cp = sum_(k,q at p) x_ckq, p the position k of window q   (N,CK,Q) -> (N,C,P).
    dx_ckq = dy_cp
    """

    @staticmethod
    def forward(
        x: Tensor, output_size: Ints, kernel_size: Ints, dilation: Ints, padding: Ints, stride: Ints
    ) -> tuple[Tensor, Any]:
        told = (kernel_size, dilation, padding, stride)
        return aten.col2im(x, output_size, *told), told

    @staticmethod
    def vjp(told: Any, d_y: Tensor) -> tuple[Any, ...]:
        return (aten.im2col(d_y, *told),)


@register_map("aten.max_unpool2d.default")
@register_map("aten.max_unpool3d.default")
class MaxUnpool(Map):
    """y_i(q) = x_q, zero elsewhere   (N,C,Q) (N,C,Q) -> (N,C,P).
    dx_q = dy_i(q)
    """

    @staticmethod
    def forward(x: Tensor, i: Tensor, output_size: Ints, **windows: Any) -> tuple[Tensor, Any]:
        unpool = aten.max_unpool3d if windows else aten.max_unpool2d
        return unpool(x, i, output_size, **windows), (i, len(output_size))

    @staticmethod
    def vjp(saved: Any, d_y: Tensor) -> tuple[Any, ...]:
        i, axes = saved
        return (d_y.flatten(-axes).gather(-1, i.flatten(-axes)).view(i.shape), None)
