"""The loader: this worker's parts of each global batch, epoch by epoch, made ahead of their time where they may be."""

from collections.abc import Generator

import torch

from distbp.data.ahead import Ahead
from distbp.data.batches import CPU, Batch, Batches, Place
from distbp.data.part import Part
from distbp.data.split import Split
from distbp.errors import RequestError


class Loader:
    """The batches of a split for ``rank`` of ``size``: each sample exactly once an epoch over all ranks.

    ``batch_size`` is the global one; the last batch of an epoch may be smaller. ``shards`` is the number of parts
    that each batch is cut into, at least ``size``. All segments of a batch's samples come before the next samples. What
    a split that is ``pure`` gives is made block by block, each by another thread while the one before it is trained on;
    of what has been made at most two blocks are kept.
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
        self.split = split
        self.batch_size = batch_size
        self.min_part = min_part
        self._batches = Batches(
            split,
            batch_size=batch_size,
            shards=shards,
            seed=seed,
            rank=rank,
            size=size,
            min_part=min_part,
            device=device,
        )
        self._ahead = Ahead(self._batches.block, self._batches.after)
        self.steps_per_epoch = self._batches.an_epoch

    def epoch(self, epoch: int, first: int = 0) -> Generator[Batch, None, None]:
        """The batches of ``epoch`` (from 0), beginning with number ``first``: the rest of an epoch that was cut off."""
        number = first
        try:
            while number < self.steps_per_epoch:
                block = self._block(Place(epoch, number))
                yield from block
                number += len(block)
        finally:
            if number < self.steps_per_epoch:
                self.close()  # nobody asks for the rest

    def after(self, steps: int) -> Place:
        """Where the data stand after so many steps."""
        return Place(*divmod(steps + self._batches.shift, self.steps_per_epoch))

    def go_on(self, place: Place, *, batch_size: int, steps: int) -> None:
        """After ``steps`` steps a run stood at ``place``, in batches of ``batch_size``: go on from the same samples.

        RequestError where those end within a batch.
        """
        whole, begun = divmod(place.number, self.split.segments)
        seen = min(whole * batch_size, len(self.split))
        number = min(place.number, self.steps_per_epoch)
        if batch_size != self.batch_size:
            if begun or (seen < len(self.split) and seen % self.batch_size):
                there = f"the run stands after {seen:,} samples of epoch {place.epoch + 1}, within a batch of this size"
                raise RequestError("batch_size", self.batch_size, f"{there}: {batch_size} is allowed up to its end")
            number = -(-seen // self.batch_size) * self.split.segments
        self._batches.shift = place.epoch * self.steps_per_epoch + number - steps

    def steps_until(self, epochs: int) -> int:
        """How many steps a job has done when so many epochs are over."""
        return epochs * self.steps_per_epoch - self._batches.shift

    def example(self) -> Part:
        """A part of the first batch, the same on every worker: for its shape, not for its samples."""
        return self._batches.example()

    def too_small(self) -> Part | None:
        """The only part of an epoch's last batch, where that has fewer samples than a part is to have."""
        left = len(self.split) % self.batch_size
        return self._batches.example(left) if 0 < left < self.min_part else None

    def close(self) -> None:
        """Read no more until asked again: from now on the files of the data may be written."""
        self._ahead.forget()

    @property
    def examples(self) -> int:
        """What an epoch has: each segment of a sample is one."""
        return len(self.split) * self.split.segments

    def cut(self, samples: int) -> dict[int, range]:
        """Which of the ``samples`` of a batch each of this worker's parts has, without the empty ones."""
        return self._batches.cut(samples)

    def share(self, batches: int) -> float:
        """Which share of an epoch its first ``batches`` are, in samples: the last batch counts what it holds."""
        whole, begun = divmod(batches, self.split.segments)
        before, after = (min(number * self.batch_size, len(self.split)) for number in (whole, whole + 1))
        return (before * self.split.segments + (after - before) * begun) / self.examples

    def _block(self, place: Place) -> list[Batch]:
        if self.split.pure:
            return self._ahead.take(place)
        return self._batches.made(place.epoch, range(place.number, place.number + 1))
