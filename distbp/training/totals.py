"""What the global batch of one step came to, besides its gradients: the same on every worker."""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Totals:
    """Sums over the global batch; the mean loss is ``loss_sum / count``.

    ``compression_error`` is the norm of what was left out of the gradients' sum, relative to that of what was due.
    ``broken`` says whether some gradient is not a number, ``stop`` whether some worker is asked to stop: the same on
    every worker.
    """

    loss_sum: float
    count: float
    compression_error: float = 0.0
    broken: bool = False
    stop: bool = False

    @property
    def finite(self) -> bool:
        """Whether the loss and every gradient are numbers."""
        return not self.broken and math.isfinite(self.loss_sum)

    @property
    def loss(self) -> float:
        """The mean loss; 0 where nothing counted (every label ignored)."""
        return self.loss_sum / self.count if self.count else 0.0
