"""A multi-layer perceptron as an ordinary nn.Module, with initial weights that depend on its seed alone."""

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import nn

from distbp.data import order
from distbp.workloads.undrawn import undrawn


def perceptron(widths: Sequence[int], *, dropout: float, seed: int) -> nn.Sequential:
    """The layers of a perceptron as one module, with the weights of ``seed``."""
    return nn.Sequential(*layers(widths, dropout=dropout, generator=torch.Generator().manual_seed(order.key(seed))))


def layers(widths: Sequence[int], *, dropout: float, generator: torch.Generator) -> list[nn.Module]:
    """Flatten, then a Linear from each width to the next, with ReLU and Dropout between them."""
    found: list[nn.Module] = [nn.Flatten()]
    for inputs, outputs in pairwise(widths):
        found += [linear(inputs, outputs, generator), nn.ReLU(), nn.Dropout(dropout)]
    return found[:-2]  # the outputs are scores: nothing follows the last Linear


def linear(inputs: int, outputs: int, generator: torch.Generator) -> nn.Linear:
    """A Linear whose weights come from ``generator``; the global generator is neither read nor moved.

    ``W ~ U(-sqrt(6 / inputs), sqrt(6 / inputs))``, ``b = 0`` (He et al. 2015, equation 10).
    """
    layer = undrawn(nn.Linear(inputs, outputs, device="meta"))
    bound = math.sqrt(6 / inputs)
    with torch.no_grad():
        layer.weight.uniform_(-bound, bound, generator=generator)
        layer.bias.zero_()
    return layer
