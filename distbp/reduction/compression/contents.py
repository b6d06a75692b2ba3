"""What a bucket holds, whatever the number of workers: the tensors in it, without the padding at its end."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

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
