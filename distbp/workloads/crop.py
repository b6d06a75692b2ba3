"""Pictures moved by whole pixels and mirrored, each by its own draws.

N pictures, C channels, H height, W width.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

MIRRORED = 0.5  # of the pictures


@dataclass(frozen=True)
class FlippedCrop:
    """A picture's own size, cut at random out of the picture with ``padding`` zeros around it; half are mirrored.

    He et al. 2015, section 4.2. Pixels are only moved, so no arithmetic rounds.
    """

    padding: int

    draws: ClassVar[int] = 3  # down, right, mirrored

    def __call__(self, pictures: Tensor, draws: np.ndarray) -> Tensor:
        """The pictures, moved and mirrored.   (N, C, H, W) float32, (N, 3) in [0, 1) -> (N, C, H, W) float32."""
        height, width = pictures.shape[-2:]
        u = torch.from_numpy(draws)
        down, right = (u[:, :2] * (2 * self.padding + 1)).long().unbind(dim=1)
        padded = F.pad(pictures, [self.padding] * 4)
        windows = padded.unfold(2, height, 1).unfold(3, width, 1)  # (N, C, 2 padding + 1, 2 padding + 1, H, W)
        cut = windows[torch.arange(len(pictures)), :, down, right]
        return torch.where((u[:, 2] < MIRRORED).view(-1, 1, 1, 1), cut.flip(-1), cut)
