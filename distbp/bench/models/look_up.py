"""A tall embedding: a few rows of it are looked up, averaged, and read by one linear layer."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from distbp.bench.models.case import Case

WIDTH = 64
LOOK_UPS = 8  # of each example


class LookUp(nn.Module):
    """The mean of some rows, and a number made of it.   (N, 8) int64 -> (N)."""

    def __init__(self, rows: int, *, sparse: bool) -> None:
        super().__init__()
        self.table = nn.Embedding(rows, WIDTH, sparse=sparse)
        self.head = nn.Linear(WIDTH, 1)

    def forward(self, numbers: Tensor) -> Tensor:
        """A number for each example."""
        found: Tensor = self.head(self.table(numbers).mean(dim=1))
        return found.squeeze(1)


def squared_error(output: Tensor, target: Tensor) -> tuple[Tensor, int]:
    """``sum_n (output_n - target_n)^2`` and N.   (N), (N) -> ()."""
    return F.mse_loss(output, target, reduction="sum"), target.numel()


def look_up(rows: int, *, sparse: bool, batch: int = 1024) -> Case:
    """A table of so many rows, and a batch of random look-ups. Draws from torch's global generator.

    The optimizer remembers nothing: a dense one with a state would not fit beside the tallest table.
    """
    numbers = torch.randint(rows, (batch, LOOK_UPS))
    return Case(LookUp(rows, sparse=sparse), squared_error, (numbers,), torch.randn(batch), "plain")
