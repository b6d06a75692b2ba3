"""The order of sums that are compressed: every part's gradient with what the part kept back, bucket by bucket."""

import math
import re
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from distbp.comm.base import Communicator, Name
from distbp.data.order import leaves
from distbp.reduction.bucket import Bucket
from distbp.reduction.compression.base import Compressor, Make, squared_norm
from distbp.reduction.compression.contents import contents, fill, named
from distbp.reduction.compression.owed import Owed
from distbp.reduction.compression.parts import Parts
from distbp.reduction.layout import Layout
from distbp.reduction.order import Order, Ordered
from distbp.reduction.reducer import exact_rows

COUNT = re.compile(r"count/\d+")  # the names of the parts' counts


class Compressed(Order):
    """Feedback of errors (Karimireddy et al. 2019): what a part owes is its gradient and what it kept back before.

    What is kept back belongs to the part, not to the worker, and sums run along the tree: the same bits for any number
    of workers. Everything travels by messages, over any communicator, and a world of one compresses as well.
    """

    name = "compressed"

    def __init__(self, make: Make, layouts: Sequence[Layout], comm: Communicator) -> None:
        self.error = 0.0
        self._comm = comm
        self._places = 0  # for parts, in a batch
        self._compressors = [make(held, comm) for held in contents(layouts)]
        self._exact = Ordered()
        self._owed: dict[tuple[int, Compressor], Owed] = {}
        self._counts: dict[int, float] = {}  # of the parts of this step

    apart = True

    def take(self, part: int, buffers: Sequence[Tensor], count: float) -> None:
        """Add the gradient of a part to what it owes."""
        self._counts[part] = count
        for compressor in self._compressors:
            held = compressor.contents
            gradient = buffers[held.layout][held.start : held.start + held.length]
            self._of(part, compressor).add(gradient, count=self._counts[part])

    def reduce(self, buckets: Sequence[Bucket], present: tuple[bool, ...], comm: Communicator, *, step: int) -> None:
        """The gradients' buckets, which come first, compressed; the others, whatever they hold, in full."""
        parts = Parts(present, comm)
        count = self._count(parts, step)
        self._places = len(present)
        kept, due = 0.0, 0.0
        for compressor, bucket in zip(self._compressors, buckets, strict=False):
            owed = [self._owed[part, compressor].values for part in parts.mine]
            due += squared_norm(owed)
            total = bucket.slots[0][: compressor.contents.length]
            name = Name(step, "reduce", bucket.number)
            kept += compressor.sum(owed, total, parts, count=count, name=name) + squared_norm(owed)
        self.error = relative(kept, due, comm, step)
        self._exact.reduce(buckets[len(self._compressors) :], present, comm, step=step)

    def state(self) -> dict[str, Tensor]:
        """What each part owes, tensor by tensor, and what the compressors remember."""
        name = Name(0, "checkpoint")
        state: dict[str, Tensor] = {}
        for compressor in self._compressors:
            state |= compressor.state(self._comm, name=name)
            for owner in range(self._comm.size):
                for part in leaves(self._places, self._comm.size, owner):
                    state |= self._shown(part, compressor, owner, name)
        return state

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Go on from a saved state, on whatever number of workers."""
        counts = {int(key.rpartition("/")[2]): float(value) for key, value in state.items() if COUNT.fullmatch(key)}
        self._places = len(counts)
        for compressor in self._compressors:
            compressor.restore(state)
            for part in leaves(self._places, self._comm.size, self._comm.rank):
                owed = self._of(part, compressor)
                fill(str(part), owed.values, compressor.contents, state)
                owed.count = counts[part]

    def _shown(self, part: int, compressor: Compressor, owner: int, name: Name) -> dict[str, Tensor]:
        """What one part owes, shown by the worker that holds it."""
        held, device = compressor.contents, self._comm.device
        mine = owner == self._comm.rank
        owed = self._of(part, compressor) if mine else Owed(compressor.padded, dtype=held.wide, device=device)
        count = torch.tensor([owed.count], dtype=torch.float64, device=device)
        for tensor in (owed.values, count):
            self._comm.broadcast(tensor, name=name, root=owner).wait()
        return named(str(part), owed.values, held) | {f"count/{part}": count} if self._comm.rank == 0 else {}

    def _of(self, part: int, compressor: Compressor) -> Owed:
        key = part, compressor
        if key not in self._owed:
            held = compressor.contents
            self._owed[key] = Owed(compressor.padded, dtype=held.wide, device=self._comm.device)
        return self._owed[key]

    def _count(self, parts: Parts, step: int) -> float:
        """That of all parts together."""
        counts = torch.zeros(len(parts.present), dtype=torch.float64)
        for part in parts.mine:
            counts[part] = self._counts[part]
        device = parts.comm.device
        return float(exact_rows(counts.to(device), parts.comm, name=Name(step, "reduce")).sum())


def relative(kept: float, due: float, comm: Communicator, step: int) -> float:
    """The norm of what all workers keep back, relative to that of what was due; 0 where nothing was."""
    both = torch.tensor([kept, due], dtype=torch.float64, device=comm.device)
    comm.all_reduce(both, name=Name(step, "reduce")).wait()
    kept, due = both.tolist()
    return math.sqrt(kept / due) if due else 0.0
