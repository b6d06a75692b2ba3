"""Rows of a table: some of its row numbers, and a row of values for each. All other rows are zero."""

from typing import NamedTuple

import torch
from torch import Tensor


class Rows(NamedTuple):
    """``numbers``, (U) int64, ascend, each once; ``values``, (U, D), are their rows."""

    numbers: Tensor
    values: Tensor

    def plus(self, other: "Rows") -> "Rows":
        """The sum: a row that both have is this one's value plus the other's."""
        return summed(torch.cat((self.numbers, other.numbers)), torch.cat((self.values, other.values)))

    def divided(self, count: float) -> "Rows":
        """The same rows, all values divided."""
        return Rows(self.numbers, self.values / count)

    def sparse(self, table: Tensor) -> Tensor:
        """As a sparse tensor of the table's shape, (V, D), coalesced."""
        return torch.sparse_coo_tensor(
            self.numbers[None], self.values, table.shape, is_coalesced=True, check_invariants=False
        )

    def dense(self, table: Tensor) -> Tensor:
        """As a tensor of the table's shape, (V, D), zero elsewhere."""
        return torch.zeros_like(table).index_copy_(0, self.numbers, self.values)


def summed(numbers: Tensor, values: Tensor) -> Rows:
    """The rows of a table of zeros to which each of the values, (M, D), is added at its number, (M), one by one.

    A negative number is no row. Equal numbers are added in their order, onto +0: so the bits are those of a dense
    table, and no value is -0, which the zeros of absent rows would change.
    """
    if bool((numbers < 0).any()):
        there = numbers >= 0
        numbers, values = numbers[there], values[there]
    unique, place = torch.unique(numbers.long(), return_inverse=True)
    total = torch.zeros(unique.numel(), values.shape[1], dtype=values.dtype, device=values.device)
    if values.is_cuda:  # where index_add_ is atomic
        return Rows(unique, total.index_put_((place,), values, accumulate=True))
    return Rows(unique, total.index_add_(0, place, values))


def none_of(table: Tensor) -> Rows:
    """No row of ``table``, (V, D)."""
    return Rows(torch.empty(0, dtype=torch.int64, device=table.device), table.new_empty(0, table.shape[1]))
