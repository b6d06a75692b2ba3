"""DLRM (Naumov et al. 2019): categories and numbers as vectors of one width, and the products of all pairs of them.

N examples, D numbers, F categories, K the width.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from distbp.workloads.perceptron import linear
from distbp.workloads.undrawn import undrawn


class DLRM(nn.Module):
    """``top([x, all v_i . v_j with i > j])``, the v being ``x = bottom(numbers)`` and a row for each category."""

    pairs: Tensor

    def __init__(
        self,
        heights: Sequence[int],
        *,
        numbers: int,
        bottom: Sequence[int],
        top: Sequence[int],
        generator: torch.Generator,
    ) -> None:
        """``heights`` are those of the tables; the last width of ``bottom`` is theirs; ``top`` ends in the logit."""
        super().__init__()
        vectors, width = 1 + len(heights), bottom[-1]
        pairs = torch.tril_indices(vectors, vectors, offset=-1)
        self.bottom = layers([numbers, *bottom], generator)
        self.tables = nn.ModuleList(bags(height, width, generator) for height in heights)
        self.top = layers([width + pairs.shape[1], *top], generator)
        self.head = linear(top[-1], 1, generator)
        self.register_buffer("pairs", pairs[0] * vectors + pairs[1], persistent=False)  # in the products, row by row

    def forward(self, numbers: Tensor, categories: Tensor) -> Tensor:
        """The logit of the label 1.   (N, D), (N, F) int64 -> (N)."""
        x = self.bottom(numbers)
        bags = categories.unsqueeze(2).unbind(1)  # of one category each
        v = torch.stack([x, *(table(bag) for table, bag in zip(self.tables, bags, strict=True))], dim=1)
        products = (v @ v.transpose(1, 2)).flatten(1).gather(1, self.pairs.expand(len(x), -1))
        logits: Tensor = self.head(self.top(torch.cat([x, products], dim=1)))
        return logits.squeeze(1)


def layers(widths: Sequence[int], generator: torch.Generator) -> nn.Sequential:
    """A Linear and ReLU from each width to the next."""
    steps: list[nn.Module] = []
    for inputs, outputs in pairwise(widths):
        steps += [linear(inputs, outputs, generator), nn.ReLU()]
    return nn.Sequential(*steps)


def bags(height: int, width: int, generator: torch.Generator) -> nn.EmbeddingBag:
    """Sums of rows ``W ~ U(-sqrt(1 / height), sqrt(1 / height))``, as the paper's authors begin; updated sparsely."""
    table = undrawn(nn.EmbeddingBag(height, width, mode="sum", sparse=True, device="meta"))
    with torch.no_grad():
        table.weight.uniform_(-(height**-0.5), height**-0.5, generator=generator)
    return table
