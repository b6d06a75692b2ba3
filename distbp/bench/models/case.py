"""A model with its loss and one batch: what a contender of the bench is given to train."""

from dataclasses import dataclass
from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from distbp.engines.base import Loss


@dataclass(frozen=True)
class Case:
    """``loss(module(*inputs), target)`` is ``(sum, count)``. ``optimizer`` is the one that such models are given."""

    module: nn.Module
    loss: Loss
    inputs: tuple[Tensor, ...]
    target: Tensor
    optimizer: Literal["sgd", "adamw"]


def cross_entropy(output: Tensor, target: Tensor) -> tuple[Tensor, int]:
    """``-sum_n log softmax(output_n)[target_n]`` and N, an example a row.   (..., C), (...) -> ()."""
    return F.cross_entropy(output.flatten(0, -2), target.flatten(), reduction="sum"), target.numel()


def binary_cross_entropy(output: Tensor, target: Tensor) -> tuple[Tensor, int]:
    """``-sum_n log sigmoid(+-output_n)``, + where target_n is 1, and N.   (N), (N) -> ()."""
    return F.binary_cross_entropy_with_logits(output, target, reduction="sum"), target.numel()
