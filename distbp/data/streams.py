"""A text read as several streams side by side, each in consecutive segments: what a truncated back-propagation reads.

S streams, T units of a segment (the length), n units of the text, P = n - 1 of which are predicted.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from distbp.data.split import Split
from distbp.data.windows import IGNORED


@dataclass(frozen=True)
class Streams(Split):
    """Sample s is the stream that predicts units ``[s P // S, (s + 1) P // S)`` from those before them, in order.

    Each unit is predicted once. What is behind the end of a stream, in its last segment, has no target.
    """

    codes: Tensor  # (n) int64
    streams: int
    length: int
    number: int = 0  # of the segment

    pure = True

    def __post_init__(self) -> None:
        assert 1 <= self.streams < len(self.codes), "a unit for each stream, and what follows it"

    def __len__(self) -> int:
        return self.streams

    @property
    def segments(self) -> int:
        """As many as the longest stream needs."""
        longest = -(-self._predicted // self.streams)
        return -(-longest // self.length)

    def segment(self, number: int) -> "Streams":
        """Units ``[number T, (number + 1) T)`` of every stream."""
        return replace(self, number=number)

    def batch(self, samples: np.ndarray, draws: np.ndarray) -> tuple[tuple[Tensor], Tensor]:  # noqa: ARG002
        """The units (N, T) int64 of a segment of ``samples`` (N), and those that follow each of them, (N, T)."""
        start, stop = (torch.from_numpy(edges * self._predicted // self.streams) for edges in (samples, samples + 1))
        places = start[:, None] + self.number * self.length + torch.arange(self.length + 1)
        units = self.codes[places.clamp(max=self._predicted)]
        target = units[:, 1:].masked_fill(places[:, :-1] >= stop[:, None], IGNORED)
        return (units[:, :-1],), target

    @property
    def _predicted(self) -> int:
        return len(self.codes) - 1
