"""What the global batch of one step came to, besides its gradients: the same on every worker."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Totals:
    """Sums over the global batch; the mean loss is ``loss_sum / count``.

    ``compression_error`` is the norm of what was left out of the gradients' sum, relative to that of what was due.
    ``finite`` says whether the loss and every gradient are numbers, ``stop`` whether some worker is asked to stop: the
    same on every worker.
    """

    loss_sum: float
    count: float
    compression_error: float = 0.0
    finite: bool = True
    stop: bool = False

    @property
    def loss(self) -> float:
        """The mean loss; 0 where nothing counted (every label ignored)."""
        return self.loss_sum / self.count if self.count else 0.0
