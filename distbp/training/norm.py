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
    norms: list[float] = torch.linalg.vector_norm(flat[:whole].view(-1, BLOCK), dim=1).tolist()
    return [*norms, float(torch.linalg.vector_norm(flat[whole:]))] if whole < flat.numel() else norms


def together(norms: Iterable[float]) -> float:
    """The norm of all, from those of blocks."""
    return math.sqrt(math.fsum(norm * norm for norm in norms))
