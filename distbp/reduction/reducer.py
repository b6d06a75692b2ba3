"""From the gradients of many parts on many workers to one sum, bucket by bucket.

A worker's parts come in order. Each has a slot of its own to write to; as soon as two sibling subtrees stand, one is
added to the other, as a binary counter carries, so that a worker with m parts needs about log2(m) + 1 slots.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache

import torch
from torch import Tensor

from distbp.comm.base import Communicator, Name
from distbp.data.order import leaves
from distbp.reduction.layout import Layout
from distbp.reduction.order import Order
from distbp.reduction.tree import tree


class Slot:
    """One set of flat buffers, one for each layout, and the view of every tensor by name."""

    def __init__(self, layouts: Sequence[Layout], device: torch.device) -> None:
        self.buffers = [layout.allocate(device) for layout in layouts]
        self.views = {
            name: view
            for layout, buffer in zip(layouts, self.buffers, strict=True)
            for name, view in layout.views(buffer).items()
        }

    def add(self, other: "Slot") -> None:
        """``self <- self + other``."""
        for mine, others in zip(self.buffers, other.buffers, strict=True):
            mine.add_(others)


class Reducer:
    """Sums named tensors over all parts of all workers. It knows layouts and parts, and nothing of a model."""

    def __init__(self, layouts: Sequence[Layout], comm: Communicator, order: Order) -> None:
        self.layouts = tuple(layouts)
        self.comm = comm
        self.order = order
        self.slots = [Slot(self.layouts, comm.device)]

    @property
    def total(self) -> Slot:
        """Where the sum stands after ``sum_all``: the gradients that the optimizer reads."""
        return self.slots[0]

    def sum_own(self, present: tuple[bool, ...], fill: Callable[[int, Slot], None]) -> None:
        """This worker's parts, in order, each filled and merged; ``fill(v, slot)`` writes what part v gives.

        What remains in the slots are the sums of its subtrees.
        """
        top = 0
        for leaf, sums in merges(present, self.comm.size, self.comm.rank):
            if top == len(self.slots):
                self.slots.append(Slot(self.layouts, self.comm.device))
            fill(leaf, self.slots[top])
            for _ in range(sums):
                top -= 1
                self.slots[top].add(self.slots[top + 1])
            top += 1

    def sum_all(self, present: tuple[bool, ...], *, step: int) -> None:
        """From every worker's subtrees to the sum over all parts, in ``total`` on every worker."""
        for index, layout in enumerate(self.layouts):
            buffers = [slot.buffers[index] for slot in self.slots]
            for bucket, (start, stop) in enumerate(layout.buckets):
                slices = [buffer[start:stop] for buffer in buffers]
                self.order.reduce(slices, present, self.comm, name=Name(step, "reduce", bucket))


@lru_cache(maxsize=256)
def merges(present: tuple[bool, ...], size: int, rank: int) -> tuple[tuple[int, int], ...]:
    """This worker's leaves in order, each with the number of sums that follow it."""
    return tuple(tree(present).merges(leaves(len(present), size, rank)).items())


def exact_rows(rows: Tensor, comm: Communicator, *, name: Name) -> Tensor:
    """Rows of which each worker has filled some and left the others zero, complete on every worker.

    Each element is one number and zeros, so that any order of summation gives the same bits.   (V, k) -> (V, k)
    """
    comm.all_reduce(rows, name=name).wait()
    return rows
