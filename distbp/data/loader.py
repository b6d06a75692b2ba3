"""The loader: this worker's parts of each global batch, epoch by epoch.

It reads no more than the split's samples that fall to this worker; where they fall is decided in ``order``.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from distbp.data import order
from distbp.data.part import Part, placed
from distbp.data.split import Split

CPU = torch.device("cpu")


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


class Loader:
    """The batches of a split for ``rank`` of ``size``: each sample exactly once an epoch over all ranks.

    ``batch_size`` is the global one; the last batch of an epoch may be smaller. ``shards`` is the number of parts
    that each batch is cut into, at least ``size``. All segments of a batch's samples come before the next samples.
    """

    def __init__(
        self,
        split: Split,
        *,
        batch_size: int,
        shards: int,
        seed: int,
        rank: int,
        size: int,
        min_part: int = 1,
        device: torch.device = CPU,
    ) -> None:
        assert 0 <= rank < size <= shards, "every worker holds at least one leaf"
        self.split = split
        self.batch_size = batch_size
        self.shards = shards
        self.seed = seed
        self.min_part = min_part
        self.device = device
        self.leaves = order.leaves(shards, size, rank)
        self.steps_per_epoch = -(-len(split) // batch_size) * split.segments

    def epoch(self, epoch: int, first: int = 0) -> Iterator[Batch]:
        """The batches of ``epoch`` (from 0), beginning with number ``first``: the rest of an epoch that was cut off."""
        samples = order.permutation(len(self.split), seed=self.seed, epoch=epoch)
        draws = order.draws(len(self.split), self.split.draws, seed=self.seed, epoch=epoch)
        for number in range(first, self.steps_per_epoch):
            begin = number // self.split.segments * self.batch_size
            chosen = samples[begin : begin + self.batch_size]
            yield self._batch(epoch, number, chosen, draws)

    def example(self) -> Part:
        """A part of the first batch, the same on every worker: for its shape, not for its samples."""
        samples = np.arange(min(self.batch_size, len(self.split)))
        first = next(part for part in order.parts(len(samples), self.shards, self.min_part) if part)
        draws = order.draws(len(self.split), self.split.draws, seed=self.seed, epoch=0)
        return self._part(0, 0, samples[first.start : first.stop], draws)

    @property
    def examples(self) -> int:
        """What an epoch has: each segment of a sample is one."""
        return len(self.split) * self.split.segments

    def cut(self, samples: int) -> dict[int, range]:
        """Which of the ``samples`` of a batch each of this worker's parts has, without the empty ones."""
        parts = order.parts(samples, self.shards, self.min_part)
        return {v: parts[v] for v in self.leaves if parts[v]}

    def share(self, batches: int) -> float:
        """Which share of an epoch its first ``batches`` are, in samples: the last batch counts what it holds."""
        whole, begun = divmod(batches, self.split.segments)
        before, after = (min(number * self.batch_size, len(self.split)) for number in (whole, whole + 1))
        return (before * self.split.segments + (after - before) * begun) / self.examples

    def _batch(self, epoch: int, number: int, samples: np.ndarray, draws: np.ndarray) -> Batch:
        step = epoch * self.steps_per_epoch + number
        mine = [self._part(v, step, samples[i.start : i.stop], draws) for v, i in self.cut(len(samples)).items()]
        present = order.present(order.parts(len(samples), self.shards, self.min_part))
        return Batch(epoch, number, step, len(samples), present, mine)

    def _part(self, index: int, step: int, samples: np.ndarray, draws: np.ndarray) -> Part:
        # Part by part, never the whole batch at once: what a split makes of its samples (padding to the longest, say)
        # may depend only on the part, not on which worker holds its neighbours.
        segment = step % self.split.segments  # of which an epoch has a multiple
        inputs, target = self.split.segment(segment).batch(samples, draws[samples])
        key = order.key(self.seed, step, index)
        return Part(index, placed(inputs, self.device), placed(target, self.device), key, begins=segment == 0)
