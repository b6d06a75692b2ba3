"""Which part of a picture is looked at: all of it, its middle, or one that is drawn.

A part is resized to a square. W x H pixels of a picture.
"""

from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np

from distbp.data.picture import Box, whole

LEAST_AREA = 0.08  # of a picture, for a part that is drawn
NARROWEST = 3 / 4  # width over height of such a part, or height over width
MIDDLE = 7 / 8  # of a picture's shorter side: 224 of 256 pixels


class Look(Protocol):
    """What chooses a part of each picture by ``draws`` uniform numbers of its own."""

    draws: ClassVar[int]

    def __call__(self, width: int, height: int, draws: np.ndarray) -> Box:
        """The part of a picture of this size, given its draws (self.draws) in [0, 1)."""


@dataclass(frozen=True)
class Whole:
    """All of the picture."""

    draws: ClassVar[int] = 0

    def __call__(self, width: int, height: int, draws: np.ndarray) -> Box:  # noqa: ARG002
        """(0, 0, W, H)."""
        return whole(width, height)


@dataclass(frozen=True)
class Middle:
    """The square in the middle, seven eighths of the shorter side (Krizhevsky et al. 2012, section 4.1)."""

    draws: ClassVar[int] = 0

    def __call__(self, width: int, height: int, draws: np.ndarray) -> Box:  # noqa: ARG002
        """A square of side ``7/8 min(W, H)``."""
        side = MIDDLE * min(width, height)
        left, top = (width - side) / 2, (height - side) / 2
        return (left, top, left + side, top + side)


@dataclass(frozen=True)
class Drawn:
    """A part of 8 % to all of the area, 3:4 to 4:3 in shape, anywhere (Szegedy et al. 2014, section 6).

    What would be wider or higher than the picture is as wide or high as it.
    """

    draws: ClassVar[int] = 4  # area, shape, place across, place down

    def __call__(self, width: int, height: int, draws: np.ndarray) -> Box:
        """With area A and shape r: ``sqrt(A r)`` by ``sqrt(A / r)`` pixels, log r uniform."""
        a, b, across, down = draws.tolist()
        area = (LEAST_AREA + (1 - LEAST_AREA) * a) * width * height
        shape = NARROWEST ** (2 * b - 1)
        w, h = min((area * shape) ** 0.5, width), min((area / shape) ** 0.5, height)
        left, top = across * (width - w), down * (height - h)
        return (left, top, min(left + w, width), min(top + h, height))
