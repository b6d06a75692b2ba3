"""Perceptrons on flattened pictures: a small one, whose steps are overhead, and a large one, of matrix products."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import nn

from distbp.bench.models.case import Case, cross_entropy

CLASSES = 10
PIXELS = 28 * 28


def perceptron(widths: Sequence[int]) -> nn.Sequential:
    """A Linear from each width to the next, with ReLU between them."""
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(widths):
        layers += [nn.Linear(inputs, outputs), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def mlp_small(batch: int = 32) -> Case:
    """784-128-10."""
    return case(perceptron([PIXELS, 128, CLASSES]), batch)


def mlp_large(batch: int = 256) -> Case:
    """784-1024-1024-1024-10."""
    return case(perceptron([PIXELS, 1024, 1024, 1024, CLASSES]), batch)


def case(module: nn.Module, batch: int) -> Case:
    """``batch`` random pictures in a row each, and their labels."""
    pictures, labels = torch.randn(batch, PIXELS), torch.randint(CLASSES, (batch,))
    return Case(module, cross_entropy, (pictures,), labels, "sgd")
