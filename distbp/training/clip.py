"""Gradients that are bounded before an update, by the norm of all of them together or each number by itself."""

from collections.abc import Iterable, Sequence

from torch import Tensor

from distbp.reduction.layout import BLOCK
from distbp.training.norm import block_norms, row_norms, together
from distbp.training.weights import Weights

TINY = 1e-6  # added to a norm before it divides, as torch.nn.utils.clip_grad_norm_ does


class Clip:
    """``g <- g min(1, norm / |g|)`` for the mean gradient g of all parameters; ``g_i <- clamp(g_i, -value, value)``.

    Pascanu et al. 2013. None bounds nothing; where both are given, numbers are bounded first.
    """

    def __init__(self, *, norm: float | None = None, value: float | None = None) -> None:
        self.norm = norm
        self.value = value

    def bound(self, weights: Weights, rows: Sequence[Tensor], *, count: float, step: int) -> tuple[float, float | None]:
        """What divides the gradients' sums, instead of ``count``, and the norm of the mean gradient (None: not asked).

        ``rows`` are the gradients of sparse tables, which every worker has. Collective.
        """
        count = count or 1.0
        if self.value is not None:
            for gradient in (*weights.gradients, *rows):
                gradient.clamp_(-self.value * count, self.value * count)
        if self.norm is None:
            return count, None
        norm = norm_of(weights, rows, step=step) / count
        return count / min(1.0, self.norm / (norm + TINY)), norm


def norm_of(weights: Weights, rows: Iterable[Tensor], *, step: int) -> float:
    """``sqrt(sum of g_i^2)`` of the gradients' sums. Collective.

    The squares are added up within fixed blocks of a bucket, and the blocks' sums exactly: so the bits depend neither
    on how many workers there are, nor on which of them has a block.
    """
    blocks = [row_norms(of_all.view(-1, BLOCK)) for of_all in weights.gradients]
    known = [block for found in weights.everyones(blocks, phase="clip", step=step) for block in found.tolist()]
    return together([*known, *(norm for of_rows in rows for norm in block_norms(of_rows))])
