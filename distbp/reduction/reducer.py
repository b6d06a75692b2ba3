"""From the gradients of many parts on many workers to one sum, bucket by bucket.

A worker's parts come in order. As soon as two sibling subtrees stand, one is added to the other, as a binary counter
carries, so that a worker with m parts needs about log2(m) slots, or one more where each part has one of its own.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache

from torch import Tensor

from distbp.comm.base import Communicator, Name
from distbp.comm.window import Window
from distbp.data.order import leaves
from distbp.reduction.bucket import Bucket
from distbp.reduction.layout import Layout, carve
from distbp.reduction.order import Order
from distbp.reduction.tree import tree

Fill = Callable[[int, "Slot"], None]
"""Is given a part's number and a slot."""


class Slot:
    """One set of flat buffers, one for each layout, and the view of every tensor by name.

    ``twins[p]`` are the buffers of the same slot of the worker at place p of this node, as its window shows them.
    """

    def __init__(self, layouts: Sequence[Layout], window: Window) -> None:
        self.window = window
        self.twins = [carve(layouts, block) for block in window.blocks]
        self.buffers = self.twins[window.place]
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
        self.slots: list[Slot] = []
        self.scattered = 0
        self.buckets: tuple[Bucket, ...] = ()
        self._grow(1, Name(0, "start"))

    @property
    def total(self) -> Slot:
        """Where the sum stands after ``sum_all``: the gradients that the optimizer reads."""
        return self.slots[0]

    def scatter(self, layouts: int) -> None:
        """From now on the sums of the first ``layouts`` layouts stay, share by share, with their owners."""
        self.scattered = layouts
        self.buckets = self._cut()

    def reserve(self, present: tuple[bool, ...], *, joined: bool = False, step: int) -> None:
        """Have as many slots on every worker as the one that needs most for a batch of these parts. Collective."""
        needed = most_slots(present, self.comm.size, joined)
        if needed > len(self.slots):
            self._grow(needed, Name(step, "reserve"))

    def sum_own(self, present: tuple[bool, ...], fill: Fill, join: Fill | None = None) -> None:
        """This worker's parts, in order, each filled and merged; ``fill(v, slot)`` writes what part v gives.

        ``join(v, slot)`` adds it to what the slot holds, with the same bits as if it had been written elsewhere and
        then added. What remains in the slots are the sums of its subtrees.
        """
        top = 0
        for leaf, sums in merges(present, self.comm.size, self.comm.rank):
            left = sums
            if join and sums:
                join(leaf, self.slots[top - 1])
                left -= 1
            else:
                fill(leaf, self.slots[top])
                top += 1
            for _ in range(left):
                top -= 1
                self.slots[top - 1].add(self.slots[top])

    def sum_all(self, present: tuple[bool, ...], *, step: int) -> None:
        """From every worker's subtrees to the sum over all parts, in ``total`` on every worker."""
        self.order.reduce(self.buckets, present, self.comm, step=step)

    def _grow(self, number: int, name: Name) -> None:
        size = sum(layout.bytes for layout in self.layouts)
        while len(self.slots) < number:
            self.slots.append(Slot(self.layouts, self.order.allocate(size, self.comm, name=name)))
        self.buckets = self._cut()

    def _cut(self) -> tuple[Bucket, ...]:
        """The buckets of all layouts. Where some slot could not be shared, none is taken for shared."""
        window = self.slots[0].window
        if not all(slot.window.shared for slot in self.slots):
            window = Window.private(window.own, self.comm)
        seen = [slot.twins if window.shared else [slot.buffers] for slot in self.slots]
        places = [*zip(*seen, strict=True)]  # [place][slot][layout]
        edges = [(index, *edge) for index, layout in enumerate(self.layouts) for edge in layout.buckets]
        return tuple(
            Bucket(
                number,
                window,
                tuple(tuple(buffers[i][start:stop] for buffers in slots) for slots in places),
                scattered=i < self.scattered,
            )
            for number, (i, start, stop) in enumerate(edges)
        )


@lru_cache(maxsize=256)
def merges(present: tuple[bool, ...], size: int, rank: int) -> tuple[tuple[int, int], ...]:
    """This worker's leaves in order, each with the number of sums that follow it."""
    return tuple(tree(present).merges(leaves(len(present), size, rank)).items())


@lru_cache(maxsize=256)
def most_slots(present: tuple[bool, ...], size: int, joined: bool) -> int:
    """How many slots the worker needs that needs most: the height of its stack of parts that are not yet merged.

    A part that is ``joined`` to the one below it needs none.
    """
    heights = [1]
    for rank in range(size):
        height = 0
        for _, sums in merges(present, size, rank):
            heights.append(height + (not (joined and sums)))
            height += 1 - sums
    return max(heights)


def exact_rows(rows: Tensor, comm: Communicator, *, name: Name) -> Tensor:
    """Rows of which each worker has filled some and left the others zero, complete on every worker.

    Each element is one number and zeros, so that any order of summation gives the same bits.   (V, k) -> (V, k)
    """
    comm.all_reduce(rows, name=name).wait()
    return rows
