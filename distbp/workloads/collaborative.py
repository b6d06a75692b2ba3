"""Neural collaborative filtering (He et al. 2017): how much a user would take up each of some items.

N users, C candidates each, K factors.
"""

from collections.abc import Sequence
from functools import partial
from itertools import pairwise

import torch
from torch import Tensor, nn

from distbp.workloads.perceptron import linear
from distbp.workloads.table import table


class Product(nn.Module):
    """Generalised matrix factorisation: ``p_u * q_i`` (He et al. 2017, equation 8)."""

    def __init__(self, users: nn.Embedding, items: nn.Embedding) -> None:
        super().__init__()
        self.users, self.items = users, items

    def forward(self, users: Tensor, items: Tensor) -> Tensor:
        """(N), (N, C) int64 -> (N, C, K)."""
        product: Tensor = self.users(users).unsqueeze(1) * self.items(items)
        return product


class Perceptron(nn.Module):
    """A perceptron on a user's and an item's embedding, side by side (He et al. 2017, equation 10)."""

    def __init__(self, users: nn.Embedding, items: nn.Embedding, layers: nn.Sequential) -> None:
        super().__init__()
        self.users, self.items, self.layers = users, items, layers

    def forward(self, users: Tensor, items: Tensor) -> Tensor:
        """(N), (N, C) int64 -> (N, C, the last width)."""
        item = self.items(items)
        user = self.users(users).unsqueeze(1).expand_as(item)
        deep: Tensor = self.layers(torch.cat([user, item], dim=2))
        return deep


class Scorer(nn.Module):
    """``h . [features] + b``: of one of the two above, or of both side by side, NeuMF (He et al. 2017, equation 12)."""

    def __init__(self, features: Sequence[nn.Module], head: nn.Linear) -> None:
        super().__init__()
        self.features, self.head = nn.ModuleList(features), head

    def forward(self, users: Tensor, items: Tensor) -> Tensor:
        """The logit of each candidate's being taken up.   (N), (N, C) int64 -> (N, C)."""
        logits: Tensor = self.head(torch.cat([feature(users, items) for feature in self.features], dim=2))
        return logits.squeeze(2)


def scorer(
    model: str,
    *,
    users: int,
    items: int,
    factors: int,
    layers: Sequence[int],
    dropout: float,
    deviation: float,
    generator: torch.Generator,
) -> Scorer:
    """``gmf`` with its ``factors``, ``mlp`` with its ``layers``, or ``neumf`` with both."""
    # Dense: the paper's rule moves every row at each step, by its moments and its decay.
    rows = partial(table, deviation=deviation, generator=generator, sparse=False)
    features: list[nn.Module] = []
    width = 0
    if model in ("neumf", "gmf"):
        features.append(Product(rows(users, factors), rows(items, factors)))
        width += factors
    if model in ("neumf", "mlp"):
        half = layers[0] // 2
        features.append(Perceptron(rows(users, half), rows(items, half), hidden(layers, dropout, generator)))
        width += layers[-1]
    return Scorer(features, linear(width, 1, generator))


def hidden(widths: Sequence[int], dropout: float, generator: torch.Generator) -> nn.Sequential:
    """Dropout, a Linear and ReLU from each width to the next."""
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(widths):
        layers += [nn.Dropout(dropout), linear(inputs, outputs, generator), nn.ReLU()]
    return nn.Sequential(*layers)
