"""The plan of one flat buffer: where each tensor lies in it, and where it is cut into buckets.

Tensors lie in the order in which their gradients complete, each on a 64-byte boundary; a bucket is a slice that is
summed at once, and its length is such that each worker can own an equal share of it, on 64-byte boundaries too.
"""

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from distbp.alignment import ALIGNMENT, round_up

BLOCK = 1024  # elements of a gradient that are one worker's, on any number of workers: norms are taken block by block


@dataclass(frozen=True)
class Span:
    """The elements ``start`` to ``stop`` of the buffer, which hold a tensor of this name and shape."""

    name: str
    shape: torch.Size
    start: int
    stop: int


@dataclass(frozen=True)
class Layout:
    """Where each tensor of one dtype and group lies in a flat buffer of ``length`` elements.

    ``buckets`` are where it is cut: (start, stop).
    """

    dtype: torch.dtype
    spans: tuple[Span, ...]
    buckets: tuple[tuple[int, int], ...]
    group: Hashable = None

    @property
    def length(self) -> int:
        """The number of elements of the buffer, padding included."""
        return self.buckets[-1][1] if self.buckets else 0

    @property
    def bytes(self) -> int:
        """The size of the buffer, up to a 64-byte boundary."""
        return round_up(self.length * self.dtype.itemsize, ALIGNMENT)

    def within(self, bucket: tuple[int, int]) -> list[Span]:
        """The tensors of a bucket that have elements, in order."""
        return [span for span in self.spans if bucket[0] <= span.start < span.stop <= bucket[1]]

    def allocate(self, device: torch.device) -> Tensor:
        """A buffer of zeros. (length)."""
        return torch.zeros(self.length, dtype=self.dtype, device=device)

    def views(self, buffer: Tensor) -> dict[str, Tensor]:
        """Each tensor of the plan, by name, as a view into ``buffer``."""
        return {span.name: buffer[span.start : span.stop].view(span.shape) for span in self.spans}


def plan(
    tensors: Iterable[tuple[str, Tensor]],
    *,
    bucket_bytes: int,
    size: int,
    block: int = 1,
    group: Callable[[str, Tensor], Hashable] = lambda _name, _tensor: None,
) -> tuple[Layout, ...]:
    """One layout for each dtype and ``group`` of the named tensors, which come in the order of their emission.

    A bucket is closed by the tensor that takes it to ``bucket_bytes``; ``size`` is the number of workers, each of whose
    shares is a multiple of ``block`` elements.
    """
    together: dict[tuple[torch.dtype, Hashable], list[tuple[str, torch.Size]]] = {}
    for name, tensor in tensors:
        together.setdefault((tensor.dtype, group(name, tensor)), []).append((name, tensor.shape))
    return tuple(
        lay_out(shapes, *kind, bucket_bytes, max(block, ALIGNMENT // kind[0].itemsize) * size)
        for kind, shapes in together.items()
    )


def lay_out(
    shapes: Sequence[tuple[str, torch.Size]], dtype: torch.dtype, group: Hashable, bucket_bytes: int, multiple: int
) -> Layout:
    """The layout of tensors of one dtype and group; a bucket is a ``multiple`` of so many elements."""
    aligned = ALIGNMENT // dtype.itemsize
    spans: list[Span] = []
    buckets: list[tuple[int, int]] = []
    begin = end = 0
    for i, (name, shape) in enumerate(shapes):
        spans.append(Span(name, shape, end, end + shape.numel()))
        end = round_up(end + shape.numel(), aligned)
        if (end - begin) * dtype.itemsize >= bucket_bytes or i == len(shapes) - 1:
            end = begin + round_up(end - begin, multiple)
            if end > begin:  # tensors may all be empty
                buckets.append((begin, end))
            begin = end
    return Layout(dtype, tuple(spans), tuple(buckets), group)


def carve(layouts: Sequence[Layout], block: Tensor) -> list[Tensor]:
    """The buffer of each layout, one after the other in a block of memory.   (bytes) uint8 -> (length) each."""
    pieces = block.split_with_sizes([layout.bytes for layout in layouts])
    return [piece.view(layout.dtype)[: layout.length] for layout, piece in zip(layouts, pieces, strict=True)]


def adopt(tensors: Mapping[str, Tensor], views: Mapping[str, Tensor]) -> None:
    """Move each tensor into its view: the same values, now stored there."""
    with torch.no_grad():
        for name, view in views.items():
            view.copy_(tensors[name])
            tensors[name].data = view
