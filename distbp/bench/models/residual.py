"""ResNet-20 for pictures of 32x32 (He et al. 2016, section 4.2): three stages of three blocks, 16, 32 and 64 wide.

Where a stage begins with another shape, the shortcut is a 1x1 convolution with batch norm (the paper's option B).
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from distbp.bench.models.case import Case, cross_entropy

CLASSES = 10
SIDE = 32
BLOCKS = 3  # a stage; with two convolutions each, the first convolution and the Linear: 20 layers


class Block(nn.Module):
    """``relu(x' + bn(conv(relu(bn(conv(x))))))``, x' the shortcut.   (N,C,s,s) -> (N,outputs,s/stride,s/stride)."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, kernel_size=3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, kernel_size=3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.shortcut = nn.Sequential()
        if stride != 1 or inputs != outputs:
            self.shortcut.append(nn.Conv2d(inputs, outputs, kernel_size=1, stride=stride, bias=False))
            self.shortcut.append(nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        """One residual block."""
        h = F.relu(self.bn1(self.conv1(x)))
        h = self.bn2(self.conv2(h))
        return F.relu(h + self.shortcut(x))


class ResNet(nn.Module):
    """Stem, stages, the mean over each channel, and a Linear.   (N, 3, 32, 32) -> (N, 10)."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 16, kernel_size=3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU())
        self.stages = nn.Sequential(*stage(16, 16, 1), *stage(16, 32, 2), *stage(32, 64, 2))
        self.head = nn.Linear(64, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        """The scores of the classes."""
        h = self.stages(self.stem(x))
        scores: Tensor = self.head(h.mean(dim=(2, 3)))
        return scores


def stage(inputs: int, outputs: int, stride: int) -> list[Block]:
    """The first block changes the shape, the others keep it."""
    return [Block(inputs, outputs, stride), *(Block(outputs, outputs, 1) for _ in range(BLOCKS - 1))]


def resnet20(batch: int = 64) -> Case:
    """ResNet-20 and a batch of random pictures."""
    pictures, labels = torch.randn(batch, 3, SIDE, SIDE), torch.randint(CLASSES, (batch,))
    return Case(ResNet(), cross_entropy, (pictures,), labels, "sgd")
