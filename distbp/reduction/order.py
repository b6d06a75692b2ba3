"""Two orders in which the workers' gradients become one sum: the program's own, or the library's."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

from torch import Tensor

from distbp.comm.base import Communicator, Name
from distbp.comm.window import Window, zeros
from distbp.reduction.bucket import Bucket
from distbp.reduction.exchange import Exchange
from distbp.reduction.meeting import Meeting
from distbp.reduction.subtrees import ranks, subtrees


class Order(ABC):
    """How buckets, of which each worker has its subtree sums, become the sums over all parts on every worker."""

    name: str

    error = 0.0
    """The norm of what the last sum left out, relative to that of what was due; 0 where nothing is left out."""

    apart = False
    """Whether it must ``take`` each part's gradient alone, before it is added to another's."""

    @abstractmethod
    def reduce(self, buckets: Sequence[Bucket], present: tuple[bool, ...], comm: Communicator, *, step: int) -> None:
        """Leave the sum over all present parts, on every worker, in slot 0 of each bucket; of a scattered one at least
        each share on its owner, and then nobody writes to a slot before all have met once more.

        The slots of a bucket hold the sums of this worker's subtrees, from left to right; there is at least one slot,
        whose content counts for nothing if this worker has no part.
        """

    def take(self, part: int, buffers: Sequence[Tensor], count: float) -> None:  # noqa: B027 - most sums are enough
        """Part ``part`` of this worker has left its gradient, over ``count`` examples, in the buffers of a slot."""

    def state(self) -> dict[str, Tensor]:
        """What it remembers from step to step, by name; all of it on rank 0, until the next sum. Collective."""
        return {}

    def restore(self, state: Mapping[str, Tensor]) -> None:  # noqa: B027 - most remember nothing
        """Go on from a saved ``state``, on whatever number of workers."""

    def allocate(self, size: int, comm: Communicator, *, name: Name) -> Window:  # noqa: ARG002 - nobody need agree
        """``size`` bytes of memory for a slot."""
        return Window.private(zeros(size, comm.device), comm)


class Ordered(Order):
    """The tree's order: the same bits for any number of workers, over any communicator.

    Within a node the workers see each other's slots. Each owns an equal share of every bucket: between two fences it
    adds up what all of them hold of its share, as the tree says, and writes the sum into the slots of all, or keeps it
    where it is the only one to use it. Nothing is sent, and a sum costs about a copy of the bucket. Between nodes the
    sums of a share are exchanged by messages, by the workers that own it; where nothing is shared each worker is a
    node, and owns all.
    """

    name = "ordered"

    def __init__(self) -> None:
        self._exchange = Exchange()
        self._meetings: dict[tuple[Sequence[Bucket], tuple[bool, ...]], Meeting] = {}

    def allocate(self, size: int, comm: Communicator, *, name: Name) -> Window:
        """Memory that the node sees, where it can be had. Collective."""
        return comm.allocate(size, name=name)

    def reduce(self, buckets: Sequence[Bucket], present: tuple[bool, ...], comm: Communicator, *, step: int) -> None:
        """Every share of this worker between two fences, whatever the number of buckets."""
        if comm.size == 1 or not buckets:
            return  # one worker has summed the whole tree
        meeting = self._meetings.get((buckets, present))
        if meeting is None:
            meeting = self._meetings[buckets, present] = Meeting.of(buckets, present)
        meeting.hold(self._exchange, comm.board, step=step)


class Library(Order):
    """The library's order: its ``all_reduce``, whose bits may change with the number of workers."""

    name = "library"

    def reduce(self, buckets: Sequence[Bucket], present: tuple[bool, ...], comm: Communicator, *, step: int) -> None:
        """Add up what this worker has, and hand the rest to the library."""
        held = len(subtrees(present, ranks(comm.size))[comm.rank])
        for bucket in buckets:
            total, *others = bucket.slots
            if not held:
                total.zero_()
            for other in others[: held - 1]:
                total.add_(other)
            comm.all_reduce(total, name=Name(step, "reduce", bucket.number)).wait()
