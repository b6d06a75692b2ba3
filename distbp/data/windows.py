"""Windows of a text: what is read, and what follows each unit of it.

T units of a window (the context), n units of the text.
"""

import numpy as np
import torch
from torch import Tensor

from distbp.data.split import Split

IGNORED = -100  # the target of a place that is behind the end of the text


class Windows(Split):
    """Consecutive windows; window w is the units ``[w T, (w + 1) T)``, the last one ragged: each is predicted once.

    With ``moving`` each window begins up to T - 1 units later, as drawn for it in this epoch, and none is ragged.
    """

    pure = True

    def __init__(self, codes: np.ndarray, context: int, *, moving: bool = False) -> None:
        assert len(codes) > context, "a window and what follows it"
        self.codes = torch.from_numpy(codes)
        self.context = context
        self.moving = moving
        self.draws = int(moving)

    def __len__(self) -> int:
        predicted = len(self.codes) - 1
        return predicted // self.context if self.moving else -(-predicted // self.context)

    def batch(self, samples: np.ndarray, draws: np.ndarray) -> tuple[tuple[Tensor], Tensor]:
        """The units (N, T) int64 of ``samples`` (N), and those that follow each of them, (N, T)."""
        starts = samples * self.context
        if self.moving:
            last = len(self.codes) - 1 - self.context
            starts = np.minimum(starts + (draws[:, 0] * self.context).astype(np.int64), last)
        places = torch.from_numpy(starts)[:, None] + torch.arange(self.context + 1)
        units = self.codes[places.clamp(max=len(self.codes) - 1)]
        target = units[:, 1:].masked_fill(places[:, 1:] >= len(self.codes), IGNORED)
        return (units[:, :-1],), target
