"""EfficientNet-Lite0 in plain torch, a function of its weights by name, and an ordinary loop that trains some."""

from collections.abc import Collection, Iterable, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from distbp.data.part import Part

Weights = dict[str, Tensor]
LITE0 = [(1, 1), (2, 2), (2, 2), (3, 2), (3, 1), (4, 2), (1, 1)]  # blocks of a stage, and the stride of its first
DROPOUT = 0.25


def same(x: Tensor, weight: Tensor, stride: int = 1) -> Tensor:
    """The padding that TensorFlow's documentation calls SAME; depthwise where a filter sees one channel."""
    kernel, size = weight.shape[-1], x.shape[-1]
    total = max(kernel - (stride if size % stride == 0 else size % stride), 0)
    before, after = total // 2, total - total // 2
    return F.conv2d(
        F.pad(x, (before, after, before, after)), weight, stride=stride, groups=x.shape[1] // weight.shape[1]
    )


def norm(x: Tensor, weights: Weights, name: str, fixed: bool) -> Tensor:
    """Batch norm, by the statistics of the batch, or by fixed ones."""
    mean, var = weights[f"{name}.running_mean"], weights[f"{name}.running_var"]
    return F.batch_norm(
        x, mean, var, weights[f"{name}.weight"], weights[f"{name}.bias"], training=not fixed, momentum=0.1, eps=1e-3
    )


def scores(weights: Weights, x: Tensor, strides: Sequence[tuple[int, int]], *, fixed: bool, dropout: float) -> Tensor:
    """(N, 3, s, s) -> (N, classes)."""
    x = F.relu6(norm(same(x, weights["conv_stem.weight"], 2), weights, "bn0", fixed))
    steps = [first if number == 0 else 1 for blocks, first in strides for number in range(blocks)]
    for number, stride in enumerate(steps):
        block = f"blocks.{number}"
        y = x
        if f"{block}.expand_conv.weight" in weights:
            y = F.relu6(norm(same(y, weights[f"{block}.expand_conv.weight"]), weights, f"{block}.bn0", fixed))
        y = F.relu6(norm(same(y, weights[f"{block}.depthwise_conv.weight"], stride), weights, f"{block}.bn1", fixed))
        y = norm(same(y, weights[f"{block}.project_conv.weight"]), weights, f"{block}.bn2", fixed)
        x = x + y if x.shape == y.shape else y
    x = F.relu6(norm(same(x, weights["conv_head.weight"]), weights, "bn1", fixed)).mean(dim=(2, 3))
    return F.linear(F.dropout(x, dropout, training=dropout > 0), weights["fc.weight"], weights["fc.bias"])


def train(
    weights: Weights,
    parts: Iterable[Part],
    strides: Sequence[tuple[int, int]],
    *,
    trained: Collection[str],
    fixed: bool,
    lr: float,
) -> None:
    """A step of SGD with momentum on each part; what is ``trained`` changes, and statistics unless ``fixed``."""
    changing = [weights[name].requires_grad_() for name in trained]
    optimizer = torch.optim.SGD(changing, lr=lr, momentum=0.9)
    for part in parts:
        torch.manual_seed(part.draws)
        optimizer.zero_grad()
        F.cross_entropy(scores(weights, part.inputs[0], strides, fixed=fixed, dropout=DROPOUT), part.target).backward()
        optimizer.step()
