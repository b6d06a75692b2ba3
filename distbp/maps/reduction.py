"""How a loss joins its elements: 0 keeps each, 1 averages, 2 sums (torch's numbers)."""

from torch import Tensor


def reduced(losses: Tensor, reduction: int) -> Tensor:
    """The loss of its elements."""
    if reduction == 0:
        return losses
    return losses.mean() if reduction == 1 else losses.sum()


def spread(d_l: Tensor, reduction: int, count: int) -> Tensor:
    """The gradients of ``count`` elements: one for each, or one number for all."""
    return d_l / count if reduction == 1 else d_l
