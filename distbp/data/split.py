"""One split of a data set: samples by number."""

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
from torch import Tensor


class Split(ABC):
    """A data set whose samples are asked for by number.

    ``draws`` is how many uniform numbers each sample consumes (its augmentation); they are given from outside, keyed
    by (seed, epoch, sample), so that a sample looks the same on whatever worker it lands.
    """

    draws: int = 0

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def batch(self, samples: np.ndarray, draws: np.ndarray) -> tuple[tuple[Tensor, ...], Any]:
        """The inputs and the target of ``samples`` (n), given their ``draws`` (n, self.draws) in [0, 1)."""
