"""The batches of a split as one worker sees them: each a function of its epoch and its number, made when asked for.

No more is read than the split's samples that fall to this worker; where they fall is decided in ``order``.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, groupby
from typing import Any, NamedTuple

import numpy as np
import torch

from distbp.data import order
from distbp.data.part import Part, apart, placed
from distbp.data.split import Split

Content = tuple[tuple[torch.Tensor, ...], Any]
"""The inputs and the target of a part."""

CPU = torch.device("cpu")
BLOCK_BYTES = 1 << 22  # of batches that are made at once, or one batch where that is larger
BLOCK_BATCHES = 16  # and the most of them: they are made while the block before them is trained on


@dataclass(frozen=True)
class Batch:
    """One global batch, as one worker sees it.

    ``number`` counts the batches of the epoch, each segment being one, ``step`` those of the whole job; ``samples`` is
    the size of the global batch; ``present`` says of each leaf of the tree whether it holds samples; ``parts`` are this
    worker's, without the empty ones.
    """

    epoch: int
    number: int
    step: int
    samples: int
    present: tuple[bool, ...]
    parts: list[Part]


class Place(NamedTuple):
    """A batch's epoch and its number within it."""

    epoch: int
    number: int


class Cut(NamedTuple):
    """How a batch is cut: its number and size, which parts hold samples, and the samples of this worker's by leaf."""

    number: int
    samples: int
    present: tuple[bool, ...]
    mine: list[tuple[int, np.ndarray]]


class Batches:
    """The batches of a split for ``rank`` of ``size``; the arguments are those of ``Loader``."""

    def __init__(
        self,
        split: Split,
        *,
        batch_size: int,
        shards: int,
        seed: int,
        rank: int,
        size: int,
        min_part: int,
        device: torch.device,
    ) -> None:
        assert 0 <= rank < size <= shards, "every worker holds at least one leaf"
        self.split = split
        self.batch_size = batch_size
        self.shards = shards
        self.seed = seed
        self.min_part = min_part
        self.device = device
        self.leaves = order.leaves(shards, size, rank)
        self.an_epoch = -(-len(split) // batch_size) * split.segments
        self.shift = 0  # how many steps fewer the job counts than make its place here: it had another batch size
        self._length = 1  # batches of the next block
        self._drawn: tuple[int, np.ndarray, np.ndarray] = (-1, np.empty(0), np.empty(0))

    def example(self, batch: int | None = None) -> Part:
        """A part of a ``batch`` of so many samples, by default the first one: for its shape, not for its samples."""
        samples = np.arange(batch or min(self.batch_size, len(self.split)))
        first = next(part for part in self._parts(len(samples)) if part)
        draws = order.draws(len(samples), self.split.draws, seed=self.seed, epoch=0)
        chosen = samples[first.start : first.stop]
        ((inputs, target),) = self._contents(0, [chosen], draws)
        return Part(0, inputs, target, order.key(self.seed, 0, 0))

    def block(self, place: Place) -> list[Batch]:
        """Some consecutive batches of an epoch from ``place`` on, at least one, as many as memory is allowed for."""
        stop = min(place.number + self._length, self.an_epoch)
        made = self.made(place.epoch, range(place.number, stop))
        for part in made[0].parts[:1]:
            self._length = self._fitting(part)
        return made

    def after(self, place: Place, block: Sequence[Batch]) -> Place:
        """Where the block begins that follows ``block``, which begins at ``place``."""
        number = place.number + len(block)
        return Place(place.epoch, number) if number < self.an_epoch else Place(place.epoch + 1, 0)

    def made(self, epoch: int, numbers: range) -> list[Batch]:
        """The batches of these numbers."""
        samples, draws = self._epoch(epoch)
        cuts = [self._cut(samples, number) for number in numbers]
        contents = chain.from_iterable(
            self._contents(segment, [chosen for cut in alike for _, chosen in cut.mine], draws)
            for segment, alike in groupby(cuts, lambda cut: cut.number % self.split.segments)
        )
        return [self._batch(epoch, cut, contents) for cut in cuts]

    def cut(self, samples: int) -> dict[int, range]:
        """Which of the ``samples`` of a batch each of this worker's parts has, without the empty ones."""
        parts = self._parts(samples)
        return {leaf: parts[leaf] for leaf in self.leaves if parts[leaf]}

    def _fitting(self, part: Part) -> int:
        """How many whole batches of samples like those of ``part`` make a block."""
        held = sum(leaf.nbytes for leaf in part.leaves() if isinstance(leaf, torch.Tensor))
        a_batch = held / len(part) * self.batch_size * len(self.leaves) / self.shards
        return max(1, min(BLOCK_BATCHES, int(BLOCK_BYTES / max(a_batch, 1.0))))

    def _batch(self, epoch: int, cut: Cut, contents: Iterator[Content]) -> Batch:
        place = epoch * self.an_epoch + cut.number
        begins = cut.number % self.split.segments == 0
        parts = [Part(leaf, *next(contents), order.key(self.seed, place, leaf), begins) for leaf, _ in cut.mine]
        return Batch(epoch, cut.number, place - self.shift, cut.samples, cut.present, parts)

    def _cut(self, samples: np.ndarray, number: int) -> Cut:
        begin = number // self.split.segments * self.batch_size
        chosen = samples[begin : begin + self.batch_size]
        mine = [(leaf, chosen[part.start : part.stop]) for leaf, part in self.cut(len(chosen)).items()]
        return Cut(number, len(chosen), order.present(self._parts(len(chosen))), mine)

    def _parts(self, samples: int) -> list[range]:
        return order.parts(samples, self.shards, self.min_part)

    def _contents(self, segment: int, parts: list[np.ndarray], draws: np.ndarray) -> list[Content]:
        """Inputs and target of a segment of each part, given the samples of each."""
        split = self.split.segment(segment)
        if split.pure and parts:
            every = np.concatenate(parts)
            return apart(split.batch(every, draws[every]), [len(samples) for samples in parts], self.device)
        # Part by part: what such a split makes of its samples (padding to the longest, say) may depend only on the
        # part, not on which worker holds its neighbours.
        return [placed(split.batch(samples, draws[samples]), self.device) for samples in parts]

    def _epoch(self, epoch: int) -> tuple[np.ndarray, np.ndarray]:
        """The order of the samples, and their draws; those of the last epoch that was asked for are kept."""
        if self._drawn[0] != epoch:
            n = len(self.split)
            samples = order.permutation(n, seed=self.seed, epoch=epoch)
            self._drawn = epoch, samples, order.draws(n, self.split.draws, seed=self.seed, epoch=epoch)
        return self._drawn[1:]
