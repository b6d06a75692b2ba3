"""Random affine distortion of pictures: turned, scaled, sheared and moved, each by its own draws.

Nothing here but elementwise arithmetic that IEEE 754 rounds one way (no matrix product, no sine), so a picture comes
out bit by bit the same, whatever pictures surround it and on whatever worker it lands.

N pictures, H height, W width.
"""

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True)
class Affine:
    """How far a picture is distorted at most, either way: each value is uniform up to its limit.

    ``rotation`` in degrees (below 180), ``scale`` and ``shear`` as shares of 1 (``scale`` 0.1 is 0.9 to 1.1),
    ``shift`` in pixels. With p an output pixel and q where its value is read, both measured from the centre:
    ``q = R(angle) K(shear) p / scale + shift``. Between pixels the value is bilinear, outside the picture it is 0.
    """

    rotation: float
    scale: float
    shear: float
    shift: float

    draws: ClassVar[int] = 6  # angle, scale of x and of y, shear, shift of x and of y

    def __call__(self, pictures: Tensor, draws: np.ndarray) -> Tensor:
        """The pictures, distorted.   (N, 1, H, W) float32, (N, 6) in [0, 1) -> (N, 1, H, W) float32."""
        height, width = pictures.shape[-2:]
        a, b, c, d, e, f = self._coefficients(2.0 * draws - 1.0, height, width).view(6, -1, 1, 1)
        x, y = _centres(width).view(1, 1, -1), _centres(height).view(1, -1, 1)
        grid = torch.empty(2, len(pictures), height, width)
        torch.add(a * x, b * y + c, out=grid[0])
        torch.add(d * x, e * y + f, out=grid[1])
        return F.grid_sample(pictures, grid.permute(1, 2, 3, 0), align_corners=False)

    def _coefficients(self, u: np.ndarray, height: int, width: int) -> Tensor:
        """The map ``(a x + b y + c, d x + e y + f)`` of each picture.   u (N, 6) in [-1, 1) -> (6, N) float32."""
        # The half-angle's tangent is what is drawn: cosine and sine are then quotients, not library functions.
        t = math.tan(math.radians(self.rotation) / 2) * u[:, 0]
        cosine, sine = (1 - t * t) / (1 + t * t), 2 * t / (1 + t * t)
        to_x, to_y = 1 / (1 + self.scale * u[:, 1]), 1 / (1 + self.scale * u[:, 2])
        shear = self.shear * u[:, 3]
        right, down = 2 * self.shift / width * u[:, 4], 2 * self.shift / height * u[:, 5]
        rows = [
            cosine * to_x, (cosine * shear - sine) * to_y, right,
            sine * to_x, (sine * shear + cosine) * to_y, down,
        ]  # fmt: skip
        return torch.from_numpy(np.stack(rows).astype(np.float32))


def _centres(pixels: int) -> Tensor:
    """The centres of a row of pixels that reaches from -1 to 1.   -> (pixels)."""
    return (torch.arange(pixels) * 2 + (1 - pixels)) / pixels
