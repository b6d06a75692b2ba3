"""Norms of many numbers whose bits depend neither on where the numbers lie nor on who has which of them.

They are taken of fixed blocks, whose squares are added up exactly.
"""

import math
from collections.abc import Iterable

import torch
from torch import Tensor

from distbp.reduction.layout import BLOCK

AT_ONCE = 1024  # rows: what is computed wider than it lies takes some MB


def block_norms(tensor: Tensor, *, least: float = 0.0) -> list[float]:
    """``sqrt(sum of x_i^2)`` of each block of the elements in order, as ``row_norms``; the last one may be shorter."""
    flat = tensor.reshape(-1)
    whole = flat.numel() // BLOCK * BLOCK
    cut = flat[:whole].view(-1, BLOCK), flat[whole:].view(1, -1)
    return [norm for rows in cut if rows.numel() for norm in row_norms(rows, least=least).tolist()]


def row_norms(rows: Tensor, *, least: float = 0.0) -> Tensor:
    """``sqrt(sum of x_j^2)`` of each row.   (n, k) -> (n) float64.

    The squares are of the numbers' own precision, or float32, and where they do not fit there, or the norm is less
    than ``least``, of float64.
    """
    dtype = torch.promote_types(rows.dtype, torch.float32)
    found: Tensor = torch.linalg.vector_norm(rows, dim=1, dtype=dtype).double()
    again = (~((found >= least) & (found < math.inf))).nonzero().view(-1)
    for some in torch.split(again, AT_ONCE) if len(again) else ():
        found[some] = torch.linalg.vector_norm(rows[some].double(), dim=1)
    return found


def together(norms: Iterable[float]) -> float:
    """The norm of all, from those of blocks."""
    return math.sqrt(math.fsum(norm * norm for norm in norms))
