"""One split of a data set: samples by number."""

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
from torch import Tensor


class Split(ABC):
    """A data set whose samples are asked for by number.

    ``draws`` is how many uniform numbers each sample consumes (its augmentation); they are given from outside, keyed
    by (seed, epoch, sample), so that a sample looks the same on whatever worker it lands.

    A sample may be longer than what a step takes (a stream of text): it then comes in several ``segments``, one step
    after the other, and the module carries a state from each to the next.

    A ``pure`` split makes of each sample, to the bit, what the sample and its draws alone say, whatever samples it is
    asked for with, whenever, and by whatever thread. Of such a split many parts are made in one call, ahead of their
    time, and then cut; a row of its tensors is a sample's.
    """

    draws: int = 0
    pure: bool = False

    @property
    def segments(self) -> int:
        """How many segments each sample has."""
        return 1

    def segment(self, number: int) -> "Split":
        """The split whose ``batch`` gives segment ``number`` of the samples; the split itself gives the first."""
        assert number == 0, "a sample without segments is one"
        return self

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def batch(self, samples: np.ndarray, draws: np.ndarray) -> tuple[tuple[Tensor, ...], Any]:
        """The inputs and the target of ``samples`` (n), given their ``draws`` (n, self.draws) in [0, 1)."""
