"""A small convolutional network on grey pictures: 3x3 convolutions with batch norm, ReLU and max pooling.

N pictures, C channels.
"""

import torch
from torch import nn

from distbp.bench.models.case import Case, cross_entropy

CLASSES = 10
SIDE = 28


def block(inputs: int, outputs: int) -> list[nn.Module]:
    """Convolution, batch norm, ReLU, and pooling to half the side.   (N, inputs, s, s) -> (N, outputs, s/2, s/2)."""
    convolution = nn.Conv2d(inputs, outputs, kernel_size=3, padding=1)
    return [convolution, nn.BatchNorm2d(outputs), nn.ReLU(), nn.MaxPool2d(2)]


def cnn(batch: int = 64) -> Case:
    """Two blocks, of 32 and 64 channels, and a Linear."""
    side = SIDE // 4
    module = nn.Sequential(*block(1, 32), *block(32, 64), nn.Flatten(), nn.Linear(64 * side * side, CLASSES))
    pictures, labels = torch.randn(batch, 1, SIDE, SIDE), torch.randint(CLASSES, (batch,))
    return Case(module, cross_entropy, (pictures,), labels, "sgd")
