"""The meeting of all ranks about one sparse table: who has how many of its rows, and what they exchange."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from distbp.alignment import round_up
from distbp.comm.base import Communicator, Name
from distbp.reduction.exchange import Exchange
from distbp.reduction.tree import Node


@dataclass(frozen=True)
class Gathering:
    """``held`` are the subtrees of each rank; ``counts[r][k]`` how many rows subtree k of rank r has, then zeros."""

    comm: Communicator
    exchange: Exchange
    held: Sequence[Sequence[Node]]
    present: tuple[bool, ...]
    counts: Sequence[Sequence[int]]
    name: Name

    @property
    def longest(self) -> int:
        """The most rows of a rank, those of all its subtrees together."""
        return max(map(sum, self.counts))

    @property
    def most(self) -> int:
        """The most rows of a subtree."""
        return max(map(max, self.counts))

    def all_gather(self, mine: Tensor) -> list[list[Tensor]]:
        """From each rank its subtrees' rows one after the other, on every rank cut by subtrees.   (m, ...) ->"""
        padded = mine.new_zeros(self.longest, *mine.shape[1:])
        padded[: len(mine)] = mine
        everyones = mine.new_empty(self.comm.size, *padded.shape)
        self.comm.all_gather(everyones, padded, name=self.name).wait()
        pairs = zip(everyones, self.counts, strict=True)
        return [list(of_rank[: sum(counts)].split(list(counts))) for of_rank, counts in pairs]

    def sum_dense(self, mine: Sequence[Tensor], like: Tensor) -> Tensor:
        """The sum over all parts; ``mine`` are the subtrees' sums, each of the shape of ``like``."""
        length = round_up(like.numel(), self.comm.size)
        flat = [torch.nn.functional.pad(part.reshape(-1), (0, length - like.numel())) for part in mine]
        total = like.new_empty(length)
        self.exchange.sum(flat, self.held, self.present, total, self.comm, name=self.name)
        return total[: like.numel()].view(like.shape)
