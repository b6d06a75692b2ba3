"""Mixup: each training sample blended with another one, and so its label (Zhang et al. 2018)."""

import numpy as np
import torch
from torch import Tensor

from distbp.data.split import Split
from distbp.workloads.beta import Beta


class Mixed(Split):
    """``x = l x_s + (1 - l) x_p`` of sample s; the target is ``(y_s, y_p, l)``, with l of Beta(alpha, alpha).

    The partner p is any sample of the split, not one of the same batch, and p, l and the augmentation of both are
    drawn by the draws of s: so a sample looks the same in whatever batch and on whatever worker it lands.
    """

    def __init__(self, split: Split, alpha: float) -> None:
        self.split = split
        self.pure = split.pure
        self.draws = 2 * split.draws + 2  # of the sample, of its partner, which partner, how much of it
        self._shares = Beta(alpha)

    def __len__(self) -> int:
        return len(self.split)

    def batch(self, samples: np.ndarray, draws: np.ndarray) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        """The blended inputs, and the labels of both with the share of the first, (N) float32."""
        k = self.split.draws
        partners = (draws[:, 2 * k] * len(self)).astype(np.int64)
        share = torch.from_numpy(self._shares.quantiles(draws[:, 2 * k + 1]).astype(np.float32))
        (first, label), (second, others) = (
            self.split.batch(chosen, part)
            for chosen, part in ((samples, draws[:, :k]), (partners, draws[:, k : 2 * k]))
        )
        inputs = tuple(_blended(mine, theirs, share) for mine, theirs in zip(first, second, strict=True))
        return inputs, (label, others, share)


def _blended(mine: Tensor, theirs: Tensor, share: Tensor) -> Tensor:
    # Two products and a sum, each rounded by itself: no kernel makes one operation of them for some of the rows.
    wide = share.view(-1, *[1] * (mine.dim() - 1))
    return (mine * wide).add_(theirs * (1 - wide))
