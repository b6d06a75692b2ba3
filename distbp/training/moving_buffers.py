"""The buffers that a training pass changes (running statistics): every worker's stay those of one worker.

A float buffer moves by the mean of its changes over the parts, which are summed as gradients are, in the same slots.
An integer buffer (a count of batches) moves as it did in the first part.
"""

from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor, nn

from distbp.comm.base import Communicator, Name
from distbp.data.order import leaves
from distbp.engines.base import Outcome
from distbp.engines.trainable import refuse_moved
from distbp.errors import RequestError
from distbp.reduction.reducer import Slot


def refuse_unsaved(module: nn.Module, moving: Iterable[str]) -> None:
    """RequestError for a buffer that training changes and no checkpoint would have."""
    saved = module.state_dict()
    for name in moving:
        if name not in saved:
            allowed = "training changes it, and a run could not go on without it: persistent=True is needed"
            raise RequestError("buffer", name, allowed)


class MovingBuffers:
    """The buffers of ``module`` with these names."""

    def __init__(self, module: nn.Module, names: Sequence[str]) -> None:
        buffers = dict(module.named_buffers())
        self.floats = {name: buffers[name] for name in names if buffers[name].is_floating_point()}
        self.integers = {name: buffers[name] for name in names if name not in self.floats}
        self._counts: dict[int, Mapping[str, Tensor]] = {}  # changes, by part

    def note(self, outcome: Outcome, slot: Slot, *, part: int, piece: int, pieces: int, add: bool) -> None:
        """What micro-batch ``piece`` of ``pieces`` of a part changed: its share of the part's change, to the slot.

        It is written there, or with ``add`` added to what the slot has.
        """
        refuse_moved(name for name in outcome.buffer_deltas if name not in self.floats and name not in self.integers)
        for name, buffer in self.floats.items():
            change = outcome.buffer_deltas.get(name, torch.zeros_like(buffer)) / pieces
            slot.views[name].add_(change) if add else slot.views[name].copy_(change)
        if piece == 0:
            self._counts[part] = outcome.buffer_deltas

    def move(self, total: Slot, filled: Sequence[float], comm: Communicator, *, step: int) -> None:
        """Once the changes are summed in ``total``: the new values, on every worker.

        ``filled`` says of each part whether it has samples (1) or not (0).
        """
        if not (self.floats or self.integers) or not any(filled):
            return
        for name, buffer in self.floats.items():
            buffer.add_(total.views[name] / sum(filled))
        first = filled.index(1)
        owner = next(rank for rank in range(comm.size) if first in leaves(len(filled), comm.size, rank))
        for name, buffer in self.integers.items():
            if comm.rank == owner and name in self._counts[first]:
                buffer.add_(self._counts[first][name])
            comm.broadcast(buffer, name=Name(step, "buffers"), root=owner).wait()
        self._counts.clear()
