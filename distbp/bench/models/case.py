"""A model with its loss and one batch: what a contender of the bench is given to train."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
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
    optimizer: Literal["sgd", "adamw", "plain"]
    batch_dim: int = 0  # of every tensor of the batch: the examples

    def on(self, device: torch.device) -> "Case":
        """The module, moved there, and a copy of the batch there."""
        inputs, target = (tensor.to(device) for tensor in self.inputs), self.target.to(device)
        return replace(self, module=self.module.to(device), inputs=tuple(inputs), target=target)

    def cut(self, number: int) -> "list[Case]":
        """The batch in ``number`` pieces, as equal as can be, each in memory of its own; the module is the same."""
        each = [tensor.tensor_split(number, dim=self.batch_dim) for tensor in (*self.inputs, self.target)]
        pieces = (
            [piece.clone(memory_format=torch.contiguous_format) for piece in row] for row in zip(*each, strict=True)
        )
        return [replace(self, inputs=tuple(inputs), target=target) for *inputs, target in pieces]


def joined(cases: Sequence[Case]) -> Case:
    """The first case's module with the batches of all, one after the other."""
    first = cases[0]
    *inputs, target = (
        torch.cat(tensors, dim=first.batch_dim)
        for tensors in zip(*((*case.inputs, case.target) for case in cases), strict=True)
    )
    return replace(first, inputs=tuple(inputs), target=target)


def cross_entropy(output: Tensor, target: Tensor) -> tuple[Tensor, int]:
    """``-sum_n log softmax(output_n)[target_n]`` and N, an example a row.   (..., C), (...) -> ()."""
    return F.cross_entropy(output.flatten(0, -2), target.flatten(), reduction="sum"), target.numel()


def binary_cross_entropy(output: Tensor, target: Tensor) -> tuple[Tensor, int]:
    """``-sum_n log sigmoid(+-output_n)``, + where target_n is 1, and N.   (N), (N) -> ()."""
    return F.binary_cross_entropy_with_logits(output, target, reduction="sum"), target.numel()
