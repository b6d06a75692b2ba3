"""ResNet-50 (He et al. 2016, section 4.1), its stride in the 3x3 convolution, as most libraries have it.

N pictures, C channels, s the side of a picture.
"""

import torch
from torch import Tensor, nn

from distbp.bench.models.case import Case, cross_entropy

DEPTHS = (3, 4, 6, 3)  # blocks of each stage; with three convolutions each, the stem and the Linear: 50 layers
WIDTH = 64
EXPANSION = 4
CLASSES = 10


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolutions around a shortcut.   (N, C, s, s) -> (N, 4 width, s/stride, s/stride)."""

    def __init__(self, inputs: int, width: int, stride: int, activation: type[nn.Module]) -> None:
        super().__init__()
        outputs = EXPANSION * width
        self.conv1 = nn.Conv2d(inputs, width, kernel_size=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, kernel_size=3, stride=stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, outputs, kernel_size=1, bias=False)
        self.bn3 = nn.BatchNorm2d(outputs)
        self.relu = activation(inplace=True)
        self.downsample: nn.Module | None = None
        if stride != 1 or inputs != outputs:
            projection = nn.Conv2d(inputs, outputs, kernel_size=1, stride=stride, bias=False)
            self.downsample = nn.Sequential(projection, nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        h = self.relu(self.bn1(self.conv1(x)))
        h = self.relu(self.bn2(self.conv2(h)))
        h = self.bn3(self.conv3(h))
        h += shortcut
        return self.relu(h)


class ResNet50(nn.Module):
    """Stem, four stages, the mean over each channel, and a Linear.   (N, 3, s, s) -> (N, CLASSES)."""

    def __init__(self, activation: type[nn.Module], pool: type[nn.Module]) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, WIDTH, kernel_size=7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(WIDTH)
        self.relu = activation(inplace=True)
        self.maxpool = pool(kernel_size=3, stride=2, padding=1)
        stages, inputs = [], WIDTH
        for number, depth in enumerate(DEPTHS):
            width = WIDTH * 2**number
            blocks = [Bottleneck(inputs, width, stride=1 if number == 0 else 2, activation=activation)]
            inputs = EXPANSION * width
            blocks += [Bottleneck(inputs, width, stride=1, activation=activation) for _ in range(depth - 1)]
            stages.append(nn.Sequential(*blocks))
        self.layer1, self.layer2, self.layer3, self.layer4 = stages
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Linear(inputs, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        h = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        h = self.layer4(self.layer3(self.layer2(self.layer1(h))))
        return self.fc(torch.flatten(self.avgpool(h), 1))


def resnet50(activation: type[nn.Module] = nn.ReLU, pool: type[nn.Module] = nn.MaxPool2d) -> Case:
    """Four pictures so small that the last stage sees 2x2 pixels: 16 values for each of its statistics."""
    module = ResNet50(activation, pool)
    return Case(module, cross_entropy, (torch.randn(4, 3, 64, 64),), torch.randint(CLASSES, (4,)), "sgd")


def smooth_resnet50() -> Case:
    """The same net without a kink: SiLU for ReLU, the average of a window for its maximum."""
    return resnet50(nn.SiLU, nn.AvgPool2d)
