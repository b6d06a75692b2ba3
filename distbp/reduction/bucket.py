"""A bucket: what is summed at once, one slice of a flat buffer, in every slot of every worker of a node."""

from dataclasses import dataclass

from torch import Tensor

from distbp.comm.window import Window
from distbp.reduction.subtrees import Place


@dataclass(frozen=True, eq=False)
class Bucket:
    """Bucket ``number`` of a step. ``twins[p][s]``, (n), is where it lies in slot s of the worker at place p.

    ``window`` says which workers are seen, and which place is this worker's own. The sum is left with all of them, or
    (``scattered``) each share of it with its owner alone.
    """

    number: int
    window: Window
    twins: tuple[tuple[Tensor, ...], ...]
    scattered: bool = False

    @property
    def slots(self) -> tuple[Tensor, ...]:
        """Where it lies in this worker's slots. The sum over all workers is left in slot 0."""
        return self.twins[self.window.place]

    def share(self, place: Place) -> Tensor:
        """This worker's share of it in that slot; each worker of the node has one.   -> (n / workers of the node)."""
        return self.twins[place.worker][place.slot].view(len(self.twins), -1)[self.window.place]
