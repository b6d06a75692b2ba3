"""Texts as rows of equal length: cut where they are longer, padded where they are shorter, with their lengths.

n texts, N of them in a batch, T units of a row.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from distbp.data.split import Split

PADDING = 0  # any unit would do: what reads a row knows its length


class Padded(Split):
    """Each text is a sample: its first ``longest`` units, and its label.

    All rows have that length, whatever stands beside them: a row depends on its own text alone.
    """

    def __init__(self, codes: Sequence[np.ndarray], labels: np.ndarray, longest: int) -> None:
        self.longest = longest
        kept = [found[:longest] for found in codes]
        assert all(map(len, kept)), "a text has at least one unit"
        self.lengths = torch.tensor([len(found) for found in kept])
        self.starts = self.lengths.cumsum(0) - self.lengths
        self.codes = torch.from_numpy(np.concatenate(kept))
        self.labels = torch.from_numpy(labels)

    def __len__(self) -> int:
        return len(self.labels)

    def batch(self, samples: np.ndarray, draws: np.ndarray) -> tuple[tuple[Tensor, Tensor], Tensor]:  # noqa: ARG002
        """The units (N, T) and the lengths (N) of ``samples`` (N), and their labels (N), all int64."""
        chosen = torch.from_numpy(samples)
        lengths, places = self.lengths[chosen], torch.arange(self.longest)
        units = self.codes[(self.starts[chosen, None] + places).clamp_(max=len(self.codes) - 1)]
        return (units.masked_fill_(places >= lengths[:, None], PADDING), lengths), self.labels[chosen]
