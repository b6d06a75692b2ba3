"""ResNet-20 in plain torch, as most people write it, and an ordinary loop that trains it."""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from distbp.data.part import Part


class Block(nn.Module):
    """Two convolutions; the shortcut has no parameters."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.stride = 1 if inputs == outputs else 2
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride=self.stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        h = self.bn2(self.conv2(self.bn1(self.conv1(x)).relu()))
        if self.stride == 2:
            x = x[:, :, ::2, ::2]
            x = torch.cat([x, torch.zeros_like(x)], dim=1)
        return (x + h).relu()


class ResNet20(nn.Module):
    """Nine blocks, 16, 32 and 64 channels wide."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, 16, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        shapes = [(16, 16)] * 3 + [(16, 32)] + [(32, 32)] * 2 + [(32, 64)] + [(64, 64)] * 2
        self.blocks = nn.ModuleList(Block(*shape) for shape in shapes)
        self.linear = nn.Linear(64, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.bn1(self.conv1(x)).relu()
        for block in self.blocks:
            x = block(x)
        scores: Tensor = self.linear(x.mean(dim=(2, 3)))
        return scores


def twin_of(module: nn.Module, channels: int, classes: int) -> ResNet20:
    """The twin with another net's weights, which come in the same order."""
    twin = ResNet20(channels, classes).to(next(module.parameters()).dtype)
    theirs = module.state_dict().values()
    twin.load_state_dict(dict(zip(twin.state_dict(), theirs, strict=True)))
    return twin


def train(twin: nn.Module, batches: Iterable[tuple[Sequence[Part], float]], *, weight_decay: float) -> None:
    """A step of SGD with momentum on each batch, at its rate: the mean loss over its parts.

    Each part has a batch norm of its own, as on workers of which each has one.
    """
    optimizer = torch.optim.SGD(twin.parameters(), lr=0.0, momentum=0.9, weight_decay=weight_decay)
    for parts, lr in batches:
        optimizer.param_groups[0]["lr"] = lr
        optimizer.zero_grad()
        samples = sum(map(len, parts))
        for part in parts:
            (F.cross_entropy(twin(*part.inputs), part.target, reduction="sum") / samples).backward()
        optimizer.step()
