"""EfficientNet-Lite0 as an ordinary module: inverted bottlenecks without squeeze-and-excitation, with ReLU6.

Tan and Le 2019, table 1, in the form of TensorFlow's efficientnet/lite. N pictures, C channels, s pixels a side.
"""

import math
from collections import OrderedDict
from collections.abc import Sequence
from typing import Literal, NamedTuple, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from distbp.data import order
from distbp.workloads.perceptron import linear
from distbp.workloads.undrawn import undrawn

EPSILON = 1e-3  # of batch norm, as in TensorFlow
CHANNELS = 3  # red, green, blue
HEAD = ("fc",)  # the layers that know of the classes
Frozen = Literal["body", "norms"]


class Stage(NamedTuple):
    """``blocks`` of one kind, of which the first takes every ``stride``-th pixel."""

    blocks: int
    kernel: int
    stride: int
    widening: int  # inner channels for each of the input's
    channels: int


LITE0 = (
    Stage(1, 3, 1, 1, 16),
    Stage(2, 3, 2, 6, 24),
    Stage(2, 5, 2, 6, 40),
    Stage(3, 3, 2, 6, 80),
    Stage(3, 5, 1, 6, 112),
    Stage(4, 5, 2, 6, 192),
    Stage(1, 3, 1, 6, 320),
)
STEM, LAST = 32, 1280  # channels before the stages and after them: a Lite net widens neither


class Same(nn.Conv2d):
    """A convolution with ``ceil(s / stride)`` outputs a side; where the zeros are odd in number one more comes last.

    So TensorFlow places them ("SAME"), in which the weights were found: a net that puts as many before as behind
    would look at pixels one to the left of those that its weights were made for.
    """

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, s, s) -> (N, O, ceil(s / stride), ceil(s / stride))."""
        (kernel, _), (stride, _) = self.kernel_size, self.stride
        zeros = max((math.ceil(x.shape[-1] / stride) - 1) * stride + kernel - x.shape[-1], 0)
        if zeros % 2 == 0:
            return F.conv2d(x, self.weight, None, stride, zeros // 2, groups=self.groups)
        padded = F.pad(x, [zeros // 2, zeros - zeros // 2] * 2)
        return F.conv2d(padded, self.weight, None, stride, groups=self.groups)


class Inverted(nn.Sequential):
    """``x + project(relu6(depthwise(relu6(expand(x)))))``, batch norm behind each (Sandler et al. 2018, figure 3).

    Without ``x +`` where the block changes its shape, and without ``expand`` where it widens nothing.
    """

    def __init__(self, inputs: int, stride: int, stage: Stage, generator: torch.Generator) -> None:
        inner, outputs = inputs * stage.widening, stage.channels
        layers: dict[str, nn.Module] = {}
        if stage.widening > 1:
            layers = normed("expand_conv", "bn0", convolution(inputs, inner, 1, generator)) | {"relu0": nn.ReLU6()}
        depthwise = convolution(inner, inner, stage.kernel, generator, stride=stride, groups=inner)
        layers |= normed("depthwise_conv", "bn1", depthwise) | {"relu1": nn.ReLU6()}
        layers |= normed("project_conv", "bn2", convolution(inner, outputs, 1, generator))
        super().__init__(OrderedDict(layers))
        self.added = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, s, s) -> (N, outputs, ceil(s / stride), ceil(s / stride))."""
        y = x
        for layer in self:
            y = layer(y)
        return x + y if self.added else y


class EfficientNet(nn.Sequential):
    """The whole net, of which ``freeze`` leaves some layers as they are.   (N, 3, s, s) -> (N, classes).

    A batch norm whose parameters are frozen is in evaluation mode, whatever the net is in: it normalises by the
    statistics that it has, and they stay.
    """

    def train(self, mode: bool = True) -> Self:
        """As of every module, but for frozen batch norms."""
        super().train(mode)
        for layer in self.modules():
            if isinstance(layer, nn.BatchNorm2d) and not layer.weight.requires_grad:
                layer.eval()
        return self

    def freeze(self, frozen: Frozen) -> None:
        """From now on all layers but those of HEAD stay as they are (``body``), or all batch norms (``norms``)."""
        layers: dict[Frozen, list[nn.Module]] = {
            "body": [layer for name, layer in self.named_children() if name not in HEAD],
            "norms": [layer for layer in self.modules() if isinstance(layer, nn.BatchNorm2d)],
        }
        for layer in layers[frozen]:
            layer.requires_grad_(False)
        self.train(self.training)


def lite(
    classes: int, *, dropout: float, seed: int, stages: Sequence[Stage] = LITE0, stem: int = STEM, last: int = LAST
) -> EfficientNet:
    """EfficientNet-Lite0, with the weights of ``seed``; others of its kind have other ``stages``.

    The names of its parameters are those of its published weights, and come in the same order.
    """
    generator = torch.Generator().manual_seed(order.key(seed))
    layers = normed("conv_stem", "bn0", convolution(CHANNELS, stem, 3, generator, stride=2)) | {"relu0": nn.ReLU6()}
    blocks: list[nn.Module] = []
    inputs = stem
    for stage in stages:
        for number in range(stage.blocks):
            blocks.append(Inverted(inputs, 1 if number else stage.stride, stage, generator))
            inputs = stage.channels
    layers["blocks"] = nn.Sequential(*blocks)
    layers |= normed("conv_head", "bn1", convolution(inputs, last, 1, generator)) | {"relu1": nn.ReLU6()}
    layers |= {"avgpool": nn.AdaptiveAvgPool2d(1), "flatten": nn.Flatten(), "dropout": nn.Dropout(dropout)}
    return EfficientNet(OrderedDict(layers | {"fc": linear(last, classes, generator)}))


def normed(name: str, norm: str, layer: nn.Conv2d) -> dict[str, nn.Module]:
    """A convolution and its batch norm, by name."""
    return {name: layer, norm: nn.BatchNorm2d(layer.out_channels, eps=EPSILON)}


def convolution(
    inputs: int, outputs: int, kernel: int, generator: torch.Generator, *, stride: int = 1, groups: int = 1
) -> Same:
    """A convolution without biases, with weights from ``generator``.

    ``W ~ U(-sqrt(6 / n), sqrt(6 / n))`` with n the inputs of one output (He et al. 2015, equation 10).
    """
    layer = undrawn(Same(inputs, outputs, kernel, stride=stride, groups=groups, bias=False, device="meta"))
    bound = math.sqrt(6 * groups / (inputs * kernel**2))
    with torch.no_grad():
        layer.weight.uniform_(-bound, bound, generator=generator)
    return layer
