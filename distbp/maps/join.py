"""Maps that join tensors into one, or part one into several."""

# ruff: noqa: D102 - the class's docstring holds the equations of both functions

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Size, Tensor

from distbp.maps.base import Map
from distbp.maps.registry import register_map


def _parted(d_y: Tensor, shapes: Sequence[Size], dim: int) -> tuple[Tensor, ...]:
    """dy along dim in pieces, each with one of the shapes; as in cat, an empty vector has none."""
    whole = [shape if len(shape) == d_y.dim() else (*(0,) * d_y.dim(),) for shape in shapes]
    pieces = torch.split_with_sizes(d_y, [shape[dim] for shape in whole], dim)
    return tuple(d if d.dim() == len(s) else d.new_zeros(s) for d, s in zip(pieces, shapes, strict=True))


def _joined(d_outputs: Any, shapes: Sequence[Size], join: Callable[[list[Tensor]], Tensor]) -> Tensor:
    """The cotangents joined, zero for those that are None; that of a lone piece may be bare."""
    if isinstance(d_outputs, Tensor):
        return join([d_outputs])
    like = next(d for d in d_outputs if d is not None)
    return join([like.new_zeros(s) if d is None else d for d, s in zip(d_outputs, shapes, strict=True)])


@register_map("aten.cat.default")
@register_map("aten.concat.default")
@register_map("aten.concatenate.default")
class Concatenate(Map):
    """y = (x_1, x_2, ...) along dim.
    dx_i = the part of dy that is x_i's
    """

    @staticmethod
    def forward(tensors: Sequence[Tensor], dim: int = 0) -> tuple[Tensor, Any]:
        return torch.cat(tuple(tensors), dim), ([x.shape for x in tensors], dim)

    @staticmethod
    def vjp(saved: Any, d_y: Tensor) -> tuple[Any, ...]:
        return (_parted(d_y, *saved),)


@register_map("aten.stack.default")
class Stack(Map):
    """y = (x_1, x_2, ...) along a new dimension dim.
    dx_i = dy at i along dim
    """

    @staticmethod
    def forward(tensors: Sequence[Tensor], dim: int = 0) -> tuple[Tensor, int]:
        return torch.stack(tuple(tensors), dim), dim

    @staticmethod
    def vjp(dim: int, d_y: Tensor) -> tuple[Any, ...]:
        return (d_y.unbind(dim),)


def _laid(d_y: Tensor, shapes: Sequence[Size], widened: Sequence[Size], dim: int) -> tuple[Tensor, ...]:
    parts = _parted(d_y, widened, dim)
    return tuple(d.reshape(shape) for d, shape in zip(parts, shapes, strict=True))


@register_map("aten.hstack.default")
class HorizontalStack(Map):
    """y = (x_1, x_2, ...) along the second dimension, vectors along the first.
    dx_i = the part of dy that is x_i's
    """

    @staticmethod
    def forward(tensors: Sequence[Tensor]) -> tuple[Tensor, Any]:
        wide = [x if x.dim() else x.reshape(1) for x in tensors]
        dim = 0 if wide[0].dim() == 1 else 1
        return torch.cat(wide, dim), ([x.shape for x in tensors], [x.shape for x in wide], dim)

    @staticmethod
    def vjp(saved: Any, d_y: Tensor) -> tuple[Any, ...]:
        return (_laid(d_y, *saved),)


@register_map("aten.vstack.default")
class VerticalStack(Map):
    """y = (x_1, x_2, ...) along the first dimension, vectors as rows.
    dx_i = the part of dy that is x_i's
    """

    @staticmethod
    def forward(tensors: Sequence[Tensor]) -> tuple[Tensor, Any]:
        tall = [x if x.dim() > 1 else x.reshape(1, x.numel()) for x in tensors]
        return torch.cat(tall, 0), ([x.shape for x in tensors], [x.shape for x in tall], 0)

    @staticmethod
    def vjp(saved: Any, d_y: Tensor) -> tuple[Any, ...]:
        return (_laid(d_y, *saved),)


@register_map("aten.column_stack.default")
class ColumnStack(Map):
    """y = (x_1, x_2, ...) along the second dimension, vectors as columns.
    dx_i = the part of dy that is x_i's
    """

    @staticmethod
    def forward(tensors: Sequence[Tensor]) -> tuple[Tensor, Any]:
        wide = [x.reshape(x.numel(), 1) if x.dim() < 2 else x for x in tensors]
        return torch.cat(wide, 1), ([x.shape for x in tensors], [x.shape for x in wide], 1)

    @staticmethod
    def vjp(saved: Any, d_y: Tensor) -> tuple[Any, ...]:
        return (_laid(d_y, *saved),)


def _pieces(pieces: Sequence[Tensor], dim: int) -> tuple[tuple[Tensor, ...], Any]:
    return tuple(pieces), ([piece.shape for piece in pieces], dim)


@register_map("aten.split.Tensor")
class Split(Map):
    """y_i = the i-th piece of x along dim, each of split_size but the last.
    dx = (dy_1, dy_2, ...) along dim
    """

    @staticmethod
    def forward(x: Tensor, split_size: int, dim: int = 0) -> tuple[tuple[Tensor, ...], Any]:
        return _pieces(torch.ops.aten.split(x, split_size, dim), dim)

    @staticmethod
    def vjp(saved: Any, d_outputs: Sequence[Tensor | None]) -> tuple[Any, ...]:
        shapes, dim = saved
        return (_joined(d_outputs, shapes, lambda pieces: torch.cat(pieces, dim)),)


@register_map("aten.split_with_sizes.default")
class SplitWithSizes(Map):
    """y_i = the i-th piece of x along dim, of the i-th size.
    dx = (dy_1, dy_2, ...) along dim
    """

    @staticmethod
    def forward(x: Tensor, split_sizes: Sequence[int], dim: int = 0) -> tuple[tuple[Tensor, ...], Any]:
        return _pieces(torch.split_with_sizes(x, list(split_sizes), dim), dim)

    @staticmethod
    def vjp(saved: Any, d_outputs: Sequence[Tensor | None]) -> tuple[Any, ...]:
        return Split.vjp(saved, d_outputs)


@register_map("aten.split.sizes")
class SplitSizes(Map):
    """y_i = the i-th piece of x along dim, of the i-th size.
    dx = (dy_1, dy_2, ...) along dim
    """

    @staticmethod
    def forward(x: Tensor, split_size: Sequence[int], dim: int = 0) -> tuple[tuple[Tensor, ...], Any]:
        return _pieces(torch.split_with_sizes(x, list(split_size), dim), dim)

    @staticmethod
    def vjp(saved: Any, d_outputs: Sequence[Tensor | None]) -> tuple[Any, ...]:
        return Split.vjp(saved, d_outputs)


@register_map("aten.chunk.default")
class Chunk(Map):
    """y_i = the i-th of at most so many equal pieces of x along dim.
    dx = (dy_1, dy_2, ...) along dim
    """

    @staticmethod
    def forward(x: Tensor, chunks: int, dim: int = 0) -> tuple[tuple[Tensor, ...], Any]:
        return _pieces(x.chunk(chunks, dim), dim)

    @staticmethod
    def vjp(saved: Any, d_outputs: Sequence[Tensor | None]) -> tuple[Any, ...]:
        return Split.vjp(saved, d_outputs)


@register_map("aten.tensor_split.sections")
class TensorSplit(Map):
    """y_i = the i-th of so many pieces of x along dim, the first ones longer by one.
    dx = (dy_1, dy_2, ...) along dim
    """

    @staticmethod
    def forward(x: Tensor, sections: int, dim: int = 0) -> tuple[tuple[Tensor, ...], Any]:
        return _pieces(x.tensor_split(sections, dim), dim)

    @staticmethod
    def vjp(saved: Any, d_outputs: Sequence[Tensor | None]) -> tuple[Any, ...]:
        return Split.vjp(saved, d_outputs)


@register_map("aten.unbind.int")
class Unbind(Map):
    """y_i = x at i along dim.
    dx = (dy_1, dy_2, ...) along dim, which is new
    """

    @staticmethod
    def forward(x: Tensor, dim: int = 0) -> tuple[tuple[Tensor, ...], Any]:
        return _pieces(x.unbind(dim), dim)

    @staticmethod
    def vjp(saved: Any, d_outputs: Sequence[Tensor | None]) -> tuple[Any, ...]:
        shapes, dim = saved
        return (_joined(d_outputs, shapes, lambda pieces: torch.stack(pieces, dim)),)
