"""Convolutions in one to three dimensions.

N examples, C channels in, O out, G groups, P positions in, Q out, K taps.
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


@register_map("aten.convolution.default")
class Convolution(Map):
    """y_q = b + sum_k W_k x_(sq+dk-p), or its transpose in x   (N,C,P) (O,C/G,K) (O) -> (N,O,Q); without N too.
    dx = W^T * dy,  dW_k = sum_nq dy_q x_(sq+dk-p),  db = sum_nq dy_q
    """

    @staticmethod
    def forward(
        x: Tensor, W: Tensor, b: Tensor | None,
        stride: Ints, padding: Ints, dilation: Ints, transposed: bool, output_padding: Ints, groups: int,
    ) -> tuple[Tensor, Any]:  # fmt: skip
        axes, one = W.dim() - 2, x.dim() < W.dim()
        steps = (_each(stride, axes), _each(padding, axes), _each(dilation, axes))
        told = (*steps, transposed, _each(output_padding, axes), groups)
        batch = x.unsqueeze(0) if one else x
        y = aten.convolution(batch, W, b, *told)
        return y.squeeze(0) if one else y, (batch, W, b is None, one, told)

    @staticmethod
    def vjp(saved: Any, d_y: Tensor) -> tuple[Any, ...]:
        batch, W, plain, one, told = saved
        d_y = d_y.unsqueeze(0) if one else d_y
        # one call for dx, one for dW and db (which come out of the same pass), so that the first can be left out
        d_x, _, _ = aten.convolution_backward(d_y, batch, W, None, *told, [True, False, False])
        mask = [False, True, not plain]
        _, d_W, d_b = aten.convolution_backward(d_y, batch, W, [d_y.shape[1]], *told, mask)
        return d_x.squeeze(0) if one else d_x, d_W, None if plain else d_b


@register_map("aten.conv1d.default")
@register_map("aten.conv2d.default")
@register_map("aten.conv3d.default")
class Conv(Map):
    """y_q = b + sum_k W_k x_(sq+dk-p)   (N,C,P) (O,C/G,K) (O) -> (N,O,Q); without N too.
    dx_p = sum_k W_k^T dy_(p+p0-dk)/s,  dW_k = sum_nq dy_q x_(sq+dk-p),  db = sum_nq dy_q
    """

    @staticmethod
    def forward(
        x: Tensor, W: Tensor, b: Tensor | None = None,
        stride: Ints = 1, padding: Ints = 0, dilation: Ints = 1, groups: int = 1,
    ) -> tuple[Tensor, Any]:  # fmt: skip
        return Convolution.forward(x, W, b, stride, padding, dilation, False, 0, groups)

    @staticmethod
    def vjp(saved: Any, d_y: Tensor) -> tuple[Any, ...]:
        return Convolution.vjp(saved, d_y)


@register_map("aten.conv1d.padding")
@register_map("aten.conv2d.padding")
@register_map("aten.conv3d.padding")
class ConvPadded(Map):
    """y = W * x + b, padding "valid" (none) or "same" (Q = P)   (N,C,P) (O,C/G,K) (O) -> (N,O,Q); without N too.
    dx = W^T * dy,  dW_k = sum_nq dy_q x_(q+dk-p),  db = sum_nq dy_q
    """

    @staticmethod
    def forward(
        x: Tensor, W: Tensor, b: Tensor | None = None,
        stride: Ints = 1, padding: str = "valid", dilation: Ints = 1, groups: int = 1,
    ) -> tuple[Tensor, Any]:  # fmt: skip
        kernel = W.shape[2:]
        reach = [d * (k - 1) for d, k in zip(_each(dilation, len(kernel)), kernel, strict=True)]
        if padding == "valid":
            reach = [0] * len(kernel)
        # an odd reach: torch pads the end by one more, and zeros on one side alone need a copy of x
        ends = [end for r in reversed(reach) for end in (0, r % 2)]
        padded = aten.constant_pad_nd(x, ends) if any(ends) else x
        y, saved = Convolution.forward(padded, W, b, stride, [r // 2 for r in reach], dilation, False, 0, groups)
        return y, (saved, x.shape)

    @staticmethod
    def vjp(saved: Any, d_y: Tensor) -> tuple[Any, ...]:
        plain, shape = saved
        d_padded, d_W, d_b = Convolution.vjp(plain, d_y)
        d_x = d_padded
        for axis, length in enumerate(shape):
            d_x = d_x if d_x.shape[axis] == length else d_x.narrow(axis, 0, length)
        return d_x, d_W, d_b


@register_map("aten.conv_transpose1d.default")
@register_map("aten.conv_transpose2d.input")
@register_map("aten.conv_transpose3d.input")
class ConvTransposed(Map):
    """y_(sp+dk-p0) = b + sum W_k^T x_p   (N,C,P) (C,O/G,K) (O) -> (N,O,Q); without N too.
    dx_p = sum_k W_k dy_(sp+dk-p0),  dW_k = sum_np x_p dy_(sp+dk-p0)^T,  db = sum_nq dy_q
    """

    @staticmethod
    def forward(
        x: Tensor, W: Tensor, b: Tensor | None = None,
        stride: Ints = 1, padding: Ints = 0, output_padding: Ints = 0, groups: int = 1, dilation: Ints = 1,
    ) -> tuple[Tensor, Any]:  # fmt: skip
        return Convolution.forward(x, W, b, stride, padding, dilation, True, output_padding, groups)

    @staticmethod
    def vjp(saved: Any, d_y: Tensor) -> tuple[Any, ...]:
        return Convolution.vjp(saved, d_y)


def _each(number: Ints, axes: int) -> list[int]:
    """One number for each axis."""
    numbers = [number] if isinstance(number, int) else list(number)
    return numbers * axes if len(numbers) == 1 else numbers
