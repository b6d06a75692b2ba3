"""Two orders in which the workers' gradients become one sum: the program's own, or the library's."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor

from distbp.comm.base import Communicator, Name
from distbp.data.order import leaves
from distbp.reduction.tree import Node, tree


class Order(ABC):
    """How one bucket, of which each worker has its subtree sums, becomes the sum over all parts on every worker."""

    name: str

    @abstractmethod
    def reduce(self, slots: Sequence[Tensor], present: tuple[bool, ...], comm: Communicator, *, name: Name) -> None:
        """Leave the sum over all present parts, on every worker, in ``slots[0]``.

        ``slots`` holds the same bucket, (n), of each of this worker's ``subtrees``, from left to right; there is at
        least one slot, whose content counts for nothing if this worker has no part.
        """


class Ordered(Order):
    """The tree's order: the same bits for any number of workers, over any communicator.

    Each worker owns an equal share of the bucket. The subtree sums of a share travel to its owner (``all_to_all``),
    which adds them up as the tree says, and the sums travel to all (``all_gather``). Nothing but copies is left to
    the library. A worker sends and receives about twice the bucket, as a ring does, and holds one more share for
    each foreign subtree.
    """

    name = "ordered"

    def __init__(self) -> None:
        self._memory: dict[torch.dtype, Tensor] = {}

    def reduce(self, slots: Sequence[Tensor], present: tuple[bool, ...], comm: Communicator, *, name: Name) -> None:
        """Exchange the subtrees' shares, add those of the own share in the tree's order, gather the shares."""
        held = subtrees(present, comm.size)
        if comm.size == 1:
            return  # one worker has summed the whole tree
        share = slots[0].numel() // comm.size
        mine = [slot.view(comm.size, share) for slot in slots[: len(held[comm.rank])]]
        incoming = self._scratch(slots[0], sum(map(len, held)) * share)
        comm.all_to_all(
            incoming,
            interleave(mine, slots[0]),
            name=name,
            sent=[len(mine) * share] * comm.size,
            received=[len(nodes) * share for nodes in held],
        ).wait()
        nodes = [node for of_rank in held for node in of_rank]
        total = tree(present).fold(dict(zip(nodes, incoming.view(-1, share), strict=True)), Tensor.add_)
        assert total is not None, "a batch has at least one part"
        comm.all_gather(slots[0], total, name=name).wait()

    def _scratch(self, like: Tensor, length: int) -> Tensor:
        """Memory of this length, the same from step to step: fresh pages cost more than the sum."""
        held = self._memory.get(like.dtype)
        if held is None or held.numel() < length:
            held = self._memory[like.dtype] = like.new_empty(length)
        return held[:length]


def interleave(slots: Sequence[Tensor], like: Tensor) -> Tensor:
    """What each rank is sent, one after the other: its share of every slot.   k times (N, n) -> (N k n)."""
    if len(slots) == 1:
        return slots[0].view(-1)  # it lies so already
    return torch.stack(tuple(slots), dim=1).view(-1) if slots else like.new_empty(0)


class Library(Order):
    """The library's order: its ``all_reduce``, whose bits may change with the number of workers."""

    name = "library"

    def reduce(self, slots: Sequence[Tensor], present: tuple[bool, ...], comm: Communicator, *, name: Name) -> None:
        """Add up what this worker has, and hand the rest to the library."""
        held = subtrees(present, comm.size)[comm.rank]
        if not held:
            slots[0].zero_()
        for slot in slots[1 : len(held)]:
            slots[0].add_(slot)
        comm.all_reduce(slots[0], name=name).wait()


@lru_cache(maxsize=256)
def subtrees(present: tuple[bool, ...], size: int) -> tuple[tuple[Node, ...], ...]:
    """For each rank of ``size``, the subtrees that it sums alone. Every rank knows them all."""
    return tuple(tree(present).subtrees(leaves(len(present), size, rank)) for rank in range(size))
