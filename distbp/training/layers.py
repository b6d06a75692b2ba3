"""The norms of each layer, from flat buffers of which each worker of a node may have a share. A layer is a parameter.

The squares are added up within *pieces*: what a fixed block of a bucket holds of one layer. No piece is cut between two
workers, and a layer's pieces are added up exactly. So the bits depend neither on how many workers there are, nor on
which of them has a piece. P pieces, n numbers of a share.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from distbp.reduction.layout import BLOCK
from distbp.training.norm import block_norms, row_norms, together
from distbp.training.weights import Weights

LEAST = 1e-15  # a norm below which the squares of float32 lose bits, or are 0


class Norms(NamedTuple):
    """Of one layer in one step: of the mean gradient before it is clipped, of the update, and of the weights before."""

    gradient: float
    update: float
    weight: float


class Run(NamedTuple):
    """Elements ``start`` to ``stop`` of a share, all of one layer: whole blocks, or a part of one.

    ``first`` is the number of the first piece.
    """

    share: int
    start: int
    stop: int
    first: int

    def of(self, shares: Sequence[Tensor]) -> Tensor:
        """Its pieces.   -> (pieces, numbers of each)"""
        return shares[self.share][self.start : self.stop].view(-1, min(BLOCK, self.stop - self.start))


class Layers:
    """Where each layer lies in this worker's shares of ``weights``."""

    def __init__(self, weights: Weights) -> None:
        self._weights = weights
        self._pieces: dict[str, slice] = {}
        self._runs: list[Run] = []
        number = 0
        for share, (layout, bucket, begin, end) in enumerate(weights.extents):
            for span in layout.within(bucket):
                start, stop = span.start - bucket[0], span.stop - bucket[0]
                block, last = start // BLOCK, -(-stop // BLOCK)
                self._pieces[span.name] = slice(number, number + last - block)
                own = cut(max(start, begin), min(stop, end))
                self._runs += [Run(share, a - begin, b - begin, number + a // BLOCK - block) for a, b in own]
                number += last - block
        self._number = number

    def pieces(self, shares: Sequence[Tensor]) -> Tensor:
        """The norms of this worker's pieces of some values of its shares, 0 for those of others.   -> (P) float64"""
        found = torch.zeros(self._number, dtype=torch.float64)
        for run in self._runs:
            own = row_norms(run.of(shares), least=LEAST)
            found[run.first : run.first + own.numel()] = own
        return found

    def totals(self, pieces: Sequence[Tensor], *, step: int) -> list[dict[str, float]]:
        """From ``pieces`` of several kinds to each layer's norm, kind by kind, on every worker. Collective."""
        told = self._weights.complete(torch.stack([*pieces]), phase="layers", step=step).tolist()
        return [{name: together(kind[its]) for name, its in self._pieces.items()} for kind in told]


def cut(start: int, stop: int) -> Iterator[tuple[int, int]]:
    """The elements from ``start`` to ``stop``: a part of a block, whole blocks, and a part of one, where there are."""
    first, last = min(-(-start // BLOCK) * BLOCK, stop), max(stop // BLOCK * BLOCK, start)
    edges = (start, first, max(first, last), stop)
    yield from ((a, b) for a, b in pairwise(edges) if a < b)


def norm(values: Tensor) -> float:
    """That of a tensor which every worker has whole."""
    return together(block_norms(values, least=LEAST))
