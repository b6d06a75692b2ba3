"""Residual networks (He et al. 2015) as ordinary modules, with initial weights that depend on their seed alone.

N pictures, C channels, s pixels a side.
"""

from collections import OrderedDict
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from distbp.data import order
from distbp.workloads.convolution import convolution
from distbp.workloads.perceptron import linear

SMALL = {20: 3, 32: 5, 56: 9}  # depth 6 n + 2: blocks n of each of three stages (section 4.2)
LARGE = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3)}  # depth: blocks of each of four stages (table 1)
DEEP = (50,)  # those whose blocks are bottlenecks
NARROWING = 4  # a bottleneck's inner layers have a quarter of its channels

Shortcut = Callable[[int, int, int, torch.Generator], nn.Module]
"""``shortcut(inputs, outputs, stride, generator)``: what x passes through where a block changes its shape."""


class Subsampled(nn.Module):
    """The identity between different shapes: every ``stride``-th pixel, and zeros for channels that are new (option A).

    (N, C, s, s) -> (N, C + new, s / stride, s / stride).
    """

    def __init__(self, new: int, stride: int) -> None:
        super().__init__()
        self.new, self.stride = new, stride

    def forward(self, x: Tensor) -> Tensor:
        """No parameter takes part."""
        return F.pad(x[:, :, :: self.stride, :: self.stride], [0, 0, 0, 0, 0, self.new])


class Basic(nn.Module):
    """``relu(x' + bn(conv(relu(bn(conv(x))))))``, x' the shortcut of x, both convolutions 3x3 (figure 5, left)."""

    def __init__(self, inputs: int, outputs: int, stride: int, shortcut: nn.Module, generator: torch.Generator) -> None:
        super().__init__()
        self.conv1 = convolution(inputs, outputs, 3, generator, stride=stride, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = convolution(outputs, outputs, 3, generator, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.downsample = shortcut

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, s, s) -> (N, outputs, s / stride, s / stride)."""
        h = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(h)) + self.downsample(x))


class Bottleneck(nn.Module):
    """The same with three convolutions, 1x1, 3x3 and 1x1 (figure 5, right).

    The stride is that of the 3x3 one, as in torchvision, whose weights fit.
    """

    def __init__(self, inputs: int, outputs: int, stride: int, shortcut: nn.Module, generator: torch.Generator) -> None:
        super().__init__()
        inner = outputs // NARROWING
        self.conv1 = convolution(inputs, inner, 1, generator, bias=False)
        self.bn1 = nn.BatchNorm2d(inner)
        self.conv2 = convolution(inner, inner, 3, generator, stride=stride, bias=False)
        self.bn2 = nn.BatchNorm2d(inner)
        self.conv3 = convolution(inner, outputs, 1, generator, bias=False)
        self.bn3 = nn.BatchNorm2d(outputs)
        self.downsample = shortcut

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, s, s) -> (N, outputs, s / stride, s / stride)."""
        h = F.relu(self.bn1(self.conv1(x)))
        h = F.relu(self.bn2(self.conv2(h)))
        return F.relu(self.bn3(self.conv3(h)) + self.downsample(x))


def resnet(depth: int, *, channels: int, classes: int, seed: int) -> nn.Sequential:
    """The net of this depth, for pictures of so many channels.   (N, channels, s, s) -> (N, classes).

    The names of a large net's layers are those of torchvision.
    """
    generator = torch.Generator().manual_seed(order.key(seed))
    return (small if depth in SMALL else large)(depth, channels, classes, generator)


def small(depth: int, channels: int, classes: int, generator: torch.Generator) -> nn.Sequential:
    """Three stages, 16, 32 and 64 channels wide, the second and the third at half the side of the one before."""
    layers: dict[str, nn.Module] = {
        "conv1": convolution(channels, 16, 3, generator, bias=False),
        "bn1": nn.BatchNorm2d(16),
        "relu": nn.ReLU(),
    }
    layers |= stages(Basic, (SMALL[depth],) * 3, generator, inputs=16, width=16, shortcut=subsampled)
    return nn.Sequential(OrderedDict(layers | head(64, classes, generator)))


def large(depth: int, channels: int, classes: int, generator: torch.Generator) -> nn.Sequential:
    """A stem that quarters the side, then four stages, 64 to 512 channels wide, four times that with bottlenecks."""
    layers: dict[str, nn.Module] = {
        "conv1": convolution(channels, 64, 7, generator, stride=2, bias=False),
        "bn1": nn.BatchNorm2d(64),
        "relu": nn.ReLU(),
        "maxpool": nn.MaxPool2d(3, stride=2, padding=1),
    }
    block, width = (Bottleneck, 64 * NARROWING) if depth in DEEP else (Basic, 64)
    layers |= stages(block, LARGE[depth], generator, inputs=64, width=width, shortcut=projection)
    return nn.Sequential(OrderedDict(layers | head(8 * width, classes, generator)))


def stages(
    block: type[Basic] | type[Bottleneck],
    blocks: Sequence[int],
    generator: torch.Generator,
    *,
    inputs: int,
    width: int,
    shortcut: Shortcut,
) -> dict[str, nn.Module]:
    """Stages of so many blocks: the first one is ``width`` channels wide, each other twice as wide at half the side."""
    found: dict[str, nn.Module] = {}
    for number, count in enumerate(blocks):
        outputs, stride = width << number, 2 if number else 1
        changed = shortcut(inputs, outputs, stride, generator) if inputs != outputs else nn.Identity()
        same = (block(outputs, outputs, 1, nn.Identity(), generator) for _ in range(count - 1))
        found[f"layer{number + 1}"] = nn.Sequential(block(inputs, outputs, stride, changed, generator), *same)
        inputs = outputs
    return found


def subsampled(inputs: int, outputs: int, stride: int, _generator: torch.Generator) -> nn.Module:
    """A small net's shortcut between different shapes (option A)."""
    return Subsampled(outputs - inputs, stride)


def projection(inputs: int, outputs: int, stride: int, generator: torch.Generator) -> nn.Module:
    """A large net's: a 1x1 convolution with batch norm (option B)."""
    return nn.Sequential(convolution(inputs, outputs, 1, generator, stride=stride, bias=False), nn.BatchNorm2d(outputs))


def head(channels: int, classes: int, generator: torch.Generator) -> dict[str, nn.Module]:
    """The mean over each channel, and a Linear to the classes."""
    return {"avgpool": nn.AdaptiveAvgPool2d(1), "flatten": nn.Flatten(), "fc": linear(channels, classes, generator)}
