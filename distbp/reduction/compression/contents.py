"""What a bucket holds, whatever the number of workers: the tensors in it, without the padding at its end."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from distbp.reduction.layout import Layout, Span


@dataclass(frozen=True)
class Contents:
    """The ``length`` elements from ``start`` of the buffer of layout ``layout``, which are bucket ``number``."""

    number: int
    layout: int
    start: int
    length: int
    spans: tuple[Span, ...]
    dtype: torch.dtype

    def views(self, row: Tensor) -> dict[str, Tensor]:
        """Each tensor, by name, in a row of at least ``length`` elements."""
        return {s.name: row[s.start - self.start : s.stop - self.start].view(s.shape) for s in self.spans}

    @property
    def wide(self) -> torch.dtype:
        """The dtype of what is kept back and computed with: halves would lose what feedback must remember."""
        return torch.promote_types(self.dtype, torch.float32)


def contents(layouts: Sequence[Layout]) -> Iterator[Contents]:
    """Every bucket's, in order. A tensor lies at the same distance from its bucket's start on any number of workers."""
    number = 0
    for index, layout in enumerate(layouts):
        for start, stop in layout.buckets:
            spans = tuple(s for s in layout.spans if start <= s.start < s.stop <= stop)
            yield Contents(number, index, start, spans[-1].stop - start, spans, layout.dtype)
            number += 1


def named(owner: str, row: Tensor, held: Contents) -> dict[str, Tensor]:
    """``owed/<owner>/<tensor>`` of each tensor in a row, as a checkpoint tells it."""
    return {f"owed/{owner}/{name}": view for name, view in held.views(row).items()}


def fill(owner: str, row: Tensor, held: Contents, state: Mapping[str, Tensor]) -> None:
    """Put what ``named`` gave back into a row."""
    for name, view in held.views(row).items():
        view.copy_(state[f"owed/{owner}/{name}"])
