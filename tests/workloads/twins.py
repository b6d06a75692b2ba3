"""The nets of the pictures in plain torch: a function of the weights, and an ordinary loop on torch's tape."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from distbp.data.part import Part

Net = Callable[[dict[str, Tensor], Tensor], Tensor]
DROPOUT = 0.25


def fully_connected(weights: list[Tensor], x: Tensor) -> Tensor:
    """Weight and bias in turn."""
    for weight, bias in zip(weights[0:-2:2], weights[1:-2:2], strict=True):
        x = F.dropout(F.relu(F.linear(x, weight, bias)), DROPOUT)
    return F.linear(x, *weights[-2:])


def lenet(weights: dict[str, Tensor], x: Tensor) -> Tensor:
    """Two convolutions of 5x5, then two layers."""
    w1, b1, w2, b2, *rest = weights.values()
    x = F.max_pool2d(F.relu(F.conv2d(x, w1, b1, padding=2)), 2)
    x = F.max_pool2d(F.relu(F.conv2d(x, w2, b2, padding=2)), 2)
    return fully_connected(rest, x.flatten(1))


def normalized(weights: dict[str, Tensor], x: Tensor) -> Tensor:
    """Two convolutions of 3x3, each with batch norm, then two layers."""
    w1, g1, b1, w2, g2, b2, *rest = weights.values()
    for w, g, b in ((w1, g1, b1), (w2, g2, b2)):
        x = F.conv2d(x, w, padding=1)
        x = F.max_pool2d(F.relu(F.batch_norm(x, None, None, g, b, training=True)), 2)
    return fully_connected(rest, F.dropout(x, DROPOUT).flatten(1))


def trained(net: Net, module: nn.Module, parts: Sequence[Part], *, lr: float) -> dict[str, Tensor]:
    """The module's weights after a step of SGD with momentum on each part."""
    weights = {name: p.detach().clone().requires_grad_() for name, p in module.named_parameters()}
    optimizer = torch.optim.SGD(weights.values(), lr=lr, momentum=0.9)
    for part in parts:
        torch.manual_seed(part.draws)
        optimizer.zero_grad()
        F.cross_entropy(net(weights, part.inputs[0]), part.target).backward()
        optimizer.step()
    return weights
