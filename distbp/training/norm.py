"""Norms of many numbers whose bits depend neither on where the numbers lie nor on who has which of them.

They are taken of fixed blocks, whose squares are added up exactly.
"""

import math
from collections.abc import Iterable

import torch
from torch import Tensor

from distbp.reduction.layout import BLOCK


def block_norms(tensor: Tensor) -> list[float]:
    """``sqrt(sum of x_i^2)`` of each block of the elements in order; the last one may be shorter."""
    flat = tensor.reshape(-1)
    whole = flat.numel() // BLOCK * BLOCK
    last = flat[whole:].view(1, -1)
    return [*row_norms(flat[:whole].view(-1, BLOCK)).tolist(), *(row_norms(last).tolist() if last.numel() else ())]


def row_norms(rows: Tensor, *, least: float = 0.0) -> Tensor:
    """``sqrt(sum of x_j^2)`` of each row.   (n, k) -> (n) float64.

    The squares are of the numbers' own precision, or float32, and where they do not fit there, or the norm is less
    than ``least``, of float64.
    """
    dtype = torch.promote_types(rows.dtype, torch.float32)
    found: Tensor = torch.linalg.vector_norm(rows, dim=1, dtype=dtype).double()
    again = ~((found >= least) & (found < math.inf))
    if bool(again.any()):
        found[again] = torch.linalg.vector_norm(rows[again].double(), dim=1)
    return found


def together(norms: Iterable[float]) -> float:
    """The norm of all, from those of blocks."""
    return math.sqrt(math.fsum(norm * norm for norm in norms))
