"""Maps that exchange dimensions, or turn their order around."""

# ruff: noqa: D102 - the class's docstring holds the equations of both functions

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from distbp.maps.base import Map
from distbp.maps.registry import register_map


@register_map("aten.transpose.int")
@register_map("aten.swapdims.default")
class Transpose(Map):
    """y = x with two dimensions exchanged.
    dx = dy with them exchanged again
    """

    @staticmethod
    def forward(x: Tensor, dim0: int, dim1: int) -> tuple[Tensor, Any]:
        return x.transpose(dim0, dim1), (dim0, dim1)

    @staticmethod
    def vjp(dims: Any, d_y: Tensor) -> tuple[Any, ...]:
        return (d_y.transpose(*dims),)


@register_map("aten.swapaxes.default")
class SwapAxes(Map):
    """y = x with two dimensions exchanged.
    dx = dy with them exchanged again
    """

    @staticmethod
    def forward(x: Tensor, axis0: int, axis1: int) -> tuple[Tensor, Any]:
        return x.transpose(axis0, axis1), (axis0, axis1)

    @staticmethod
    def vjp(axes: Any, d_y: Tensor) -> tuple[Any, ...]:
        return (d_y.transpose(*axes),)


@register_map("aten.t.default")
class MatrixTranspose(Map):
    """y = x^T; x itself if it is a vector.
    dx = dy^T
    """

    @staticmethod
    def forward(x: Tensor) -> tuple[Tensor, None]:
        return x.t(), None

    @staticmethod
    def vjp(_saved: None, d_y: Tensor) -> tuple[Any, ...]:
        return (d_y.t(),)


@register_map("aten.mT.default")
@register_map("aten.adjoint.default")
class LastTranspose(Map):
    """y = x with its last two dimensions exchanged.
    dx = dy with them exchanged again
    """

    @staticmethod
    def forward(x: Tensor) -> tuple[Tensor, None]:
        return x.mT, None

    @staticmethod
    def vjp(_saved: None, d_y: Tensor) -> tuple[Any, ...]:
        return (d_y.mT,)


@register_map("aten.numpy_T.default")
class Reverse(Map):
    """y = x with its dimensions in reverse order.
    dx = dy with them in reverse order
    """

    @staticmethod
    def forward(x: Tensor) -> tuple[Tensor, None]:
        return x.permute(*range(x.dim())[::-1]), None

    @staticmethod
    def vjp(_saved: None, d_y: Tensor) -> tuple[Any, ...]:
        return (d_y.permute(*range(d_y.dim())[::-1]),)


@register_map("aten.permute.default")
class Permute(Map):
    """y = x with its dimensions in the order dims.
    dx = dy with them in the order of x
    """

    @staticmethod
    def forward(x: Tensor, dims: Sequence[int]) -> tuple[Tensor, Any]:
        return x.permute(tuple(dims)), [d % x.dim() for d in dims]

    @staticmethod
    def vjp(dims: Any, d_y: Tensor) -> tuple[Any, ...]:
        return (d_y.permute([dims.index(d) for d in range(d_y.dim())]),)


@register_map("aten.movedim.int")
@register_map("aten.moveaxis.int")
class MoveDim(Map):
    """y = x with a dimension moved from source to destination.
    dx = dy with it moved back
    """

    @staticmethod
    def forward(x: Tensor, source: int, destination: int) -> tuple[Tensor, Any]:
        return x.movedim(source, destination), (source, destination)

    @staticmethod
    def vjp(saved: Any, d_y: Tensor) -> tuple[Any, ...]:
        source, destination = saved
        return (d_y.movedim(destination, source),)


@register_map("aten.movedim.intlist")
@register_map("aten.moveaxis.intlist")
class MoveDims(Map):
    """y = x with dimensions moved from source to destination.
    dx = dy with them moved back
    """

    @staticmethod
    def forward(x: Tensor, source: Sequence[int], destination: Sequence[int]) -> tuple[Tensor, Any]:
        return x.movedim(tuple(source), tuple(destination)), (source, destination)

    @staticmethod
    def vjp(saved: Any, d_y: Tensor) -> tuple[Any, ...]:
        source, destination = saved
        return (d_y.movedim(tuple(destination), tuple(source)),)


@register_map("aten.flip.default")
class Flip(Map):
    """y = x in reverse order along dims.
    dx = dy in reverse order along dims
    """

    @staticmethod
    def forward(x: Tensor, dims: Sequence[int]) -> tuple[Tensor, Any]:
        return x.flip(tuple(dims)), dims

    @staticmethod
    def vjp(dims: Any, d_y: Tensor) -> tuple[Any, ...]:
        return (d_y.flip(tuple(dims)),)


@register_map("aten.roll.default")
class Roll(Map):
    """y = x, rotated by shifts along dims.
    dx = dy, rotated back
    """

    @staticmethod
    def forward(x: Tensor, shifts: Sequence[int], dims: Sequence[int] = ()) -> tuple[Tensor, Any]:
        return x.roll(tuple(shifts), tuple(dims)), (shifts, dims)

    @staticmethod
    def vjp(saved: Any, d_y: Tensor) -> tuple[Any, ...]:
        shifts, dims = saved
        return (d_y.roll([-shift for shift in shifts], tuple(dims)),)


@register_map("aten.pixel_shuffle.default")
class PixelShuffle(Map):
    """y = x with blocks of r^2 channels as squares of r by r   (...,C r^2,H,W) -> (...,C,H r,W r).
    dx = dy with the squares as channels again
    """

    @staticmethod
    def forward(x: Tensor, upscale_factor: int) -> tuple[Tensor, int]:
        return torch.pixel_shuffle(x, upscale_factor), upscale_factor

    @staticmethod
    def vjp(factor: int, d_y: Tensor) -> tuple[Any, ...]:
        return (torch.pixel_unshuffle(d_y, factor),)


@register_map("aten.pixel_unshuffle.default")
class PixelUnshuffle(Map):
    """y = x with squares of r by r as blocks of r^2 channels   (...,C,H r,W r) -> (...,C r^2,H,W).
    dx = dy with the channels as squares again
    """

    @staticmethod
    def forward(x: Tensor, downscale_factor: int) -> tuple[Tensor, int]:
        return torch.pixel_unshuffle(x, downscale_factor), downscale_factor

    @staticmethod
    def vjp(factor: int, d_y: Tensor) -> tuple[Any, ...]:
        return (torch.pixel_shuffle(d_y, factor),)


@register_map("aten.channel_shuffle.default")
class ChannelShuffle(Map):
    """y = x with channel (g, c) at (c, g)   (N,C,...).
    dx = dy with channel (c, g) at (g, c)
    """

    @staticmethod
    def forward(x: Tensor, groups: int) -> tuple[Tensor, int]:
        return _exchanged(x, groups), groups

    @staticmethod
    def vjp(groups: int, d_y: Tensor) -> tuple[Any, ...]:
        return (_exchanged(d_y, d_y.shape[1] // groups),)


def _exchanged(x: Tensor, groups: int) -> Tensor:
    return torch.unflatten(x, 1, (groups, x.shape[1] // groups)).transpose(1, 2).flatten(1, 2)
