"""Convolutional nets for small grey pictures as ordinary modules, with initial weights that depend on their seed alone.

N pictures, C channels, s pixels a side.
"""

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import nn

from distbp.data import order
from distbp.workloads.perceptron import layers as fully_connected
from distbp.workloads.undrawn import undrawn

KERNEL = 5  # pixels a side that LeNet's convolutions look at


def lenet(
    side: int, channels: Sequence[int], hidden: Sequence[int], classes: int, *, dropout: float, seed: int
) -> nn.Sequential:
    """LeNet-5 (LeCun et al. 1998, figure 2) in today's form.   (N, 1, s, s) -> (N, classes).

    For each of ``channels`` a convolution that keeps the side, ReLU and the maximum of 2x2; then a Linear to each of
    ``hidden``, ReLU and Dropout; then a Linear to the classes.
    """
    generator = torch.Generator().manual_seed(order.key(seed))
    found: list[nn.Module] = []
    for inputs, outputs in pairwise([1, *channels]):
        found += [convolution(inputs, outputs, KERNEL, generator), nn.ReLU(), nn.MaxPool2d(2)]
    flat = channels[-1] * (side >> len(channels)) ** 2
    return nn.Sequential(*found, *fully_connected([flat, *hidden, classes], dropout=dropout, generator=generator))


def normalized(
    side: int, channels: Sequence[int], hidden: Sequence[int], classes: int, *, dropout: float, seed: int
) -> nn.Sequential:
    """The same with 3x3 convolutions, each normalised over the batch (Ioffe and Szegedy 2015), and more Dropout.

    The shift of batch norm takes the place of the convolutions' biases. Dropout stands before every Linear.
    """
    generator = torch.Generator().manual_seed(order.key(seed))
    found: list[nn.Module] = []
    for inputs, outputs in pairwise([1, *channels]):
        layer = convolution(inputs, outputs, 3, generator, bias=False)
        found += [layer, nn.BatchNorm2d(outputs), nn.ReLU(), nn.MaxPool2d(2)]
    flat = channels[-1] * (side >> len(channels)) ** 2
    flatten, *rest = fully_connected([flat, *hidden, classes], dropout=dropout, generator=generator)
    # Dropout after Flatten: the masks of both engines are equal for rows; those of pictures follow their memory layout.
    return nn.Sequential(*found, flatten, nn.Dropout(dropout), *rest)


def convolution(
    inputs: int, outputs: int, kernel: int, generator: torch.Generator, *, stride: int = 1, bias: bool = True
) -> nn.Conv2d:
    """A convolution that keeps the side, or every ``stride``-th pixel of it, with weights from ``generator``.

    (N, inputs, s, s) -> (N, outputs, ceil(s / stride), ceil(s / stride)).
    ``W ~ U(-sqrt(6 / n), sqrt(6 / n))`` with n the inputs of one output, ``b = 0`` (He et al. 2015, equation 10).
    """
    empty = nn.Conv2d(inputs, outputs, kernel, stride=stride, padding=kernel // 2, bias=bias, device="meta")
    layer = undrawn(empty)
    bound = math.sqrt(6 / (inputs * kernel**2))
    with torch.no_grad():
        layer.weight.uniform_(-bound, bound, generator=generator)
        if layer.bias is not None:
            layer.bias.zero_()
    return layer
