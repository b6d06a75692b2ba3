"""A U-Net (Ronneberger et al. 2015) as it is mostly written today: padded convolutions with batch norm.

N pictures, C channels, s the side of a picture.
"""

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from distbp.bench.models.case import Case

CLASSES = 3
WIDTHS = (8, 16, 32, 64)


class DoubleConv(nn.Sequential):
    """Twice a 3x3 convolution, batch norm and ReLU.   (N, inputs, s, s) -> (N, outputs, s, s)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(
            nn.Conv2d(inputs, outputs, kernel_size=3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(True),
            nn.Conv2d(outputs, outputs, kernel_size=3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(True),
        )  # fmt: skip


class Up(nn.Module):
    """Twice the side, padded where the skip's is odd, beside the skip.   (N, C, s, s) -> (N, C/2, side, side)."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.up = nn.ConvTranspose2d(inputs, inputs // 2, kernel_size=2, stride=2)
        self.conv = DoubleConv(inputs, inputs // 2)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        h = self.up(x)
        dy, dx = skip.shape[2] - h.shape[2], skip.shape[3] - h.shape[3]
        h = F.pad(h, [dx // 2, dx - dx // 2, dy // 2, dy - dy // 2])
        return self.conv(torch.cat([skip, h], dim=1))


class UNet(nn.Module):
    """A class for every pixel.   (N, 3, s, s) -> (N, CLASSES, s, s)."""

    def __init__(self) -> None:
        super().__init__()
        self.inc = DoubleConv(3, WIDTHS[0])
        pairs = list(pairwise(WIDTHS))
        self.down = nn.ModuleList(nn.Sequential(nn.MaxPool2d(2), DoubleConv(a, b)) for a, b in pairs)
        self.up = nn.ModuleList(Up(b) for _, b in reversed(pairs))
        self.outc = nn.Conv2d(WIDTHS[0], CLASSES, kernel_size=1)

    def forward(self, x: Tensor) -> Tensor:
        levels = [self.inc(x)]
        for down in self.down:
            levels.append(down(levels[-1]))
        h = levels.pop()
        for up in self.up:
            h = up(h, levels.pop())
        return self.outc(h)


def pixels(output: Tensor, target: Tensor) -> tuple[Tensor, int]:
    """The cross entropy of every pixel, and how many there are.   (N, C, s, s), (N, s, s) -> ()."""
    return F.cross_entropy(output, target, reduction="sum"), target.numel()


def unet() -> Case:
    """Two pictures whose side is 9 after two halvings, so that the way up is padded there."""
    return Case(UNet(), pixels, (torch.randn(2, 3, 36, 36),), torch.randint(CLASSES, (2, 36, 36)), "sgd")
