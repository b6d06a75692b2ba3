"""The ranks of one node as MPI sees them, and the memory that they share."""

import gc
import os
import weakref
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from distbp.alignment import round_up
from distbp.comm import shared_memory
from distbp.comm import world as environment
from distbp.comm.base import Name
from distbp.comm.fence import LINE, Fence, keeps_order
from distbp.comm.node import Node
from distbp.comm.window import Nodes
from distbp.comm.world import World


class Segment(NamedTuple):
    """One MPI window, and whether anybody in this process still looks at its memory."""

    window: Any
    views: tuple["weakref.ref[np.ndarray[Any, Any]]", ...]

    @property
    def seen(self) -> bool:
        """Whether a tensor on this memory is alive."""
        return any(view() is not None for view in self.views)

    def free(self) -> None:
        """Give the memory back. Collective over the node."""
        self.window.Unlock_all()
        self.window.Free()


class MpiNode(Node):
    """The ranks of ``group`` (an MPI communicator) that share this rank's node, real or pretended (``world``)."""

    def __init__(self, mpi: Any, group: Any, world: World) -> None:
        self._mpi = mpi
        machine = group.Split_type(mpi.COMM_TYPE_SHARED)
        pretended = world.local_size < machine.size
        self.group = machine.Split(machine.rank - world.local_rank if pretended else 0)
        machine.Free()
        self.place: int = self.group.rank
        self._everyone = group
        self.nodes = _nodes(self.group, group)
        self.number = next(number for number, ranks in enumerate(self.nodes) if group.rank in ranks)
        self._segments: list[Segment] = []
        self._fence: Fence | None = None
        self._lines: Segment | None = None  # the fence's, which one node may have and another not

    def refusal(self, size: int) -> str | None:
        """Beside what any node may say: that there is no room where MPI puts it."""
        return super().refusal(size) or shared_memory.lack(
            environment.shared_memory_folder(), (self._padded(size) + self._padded(LINE)) * self.group.size
        )

    def allocate(self, size: int, *, name: Name) -> tuple[Tensor, ...]:  # noqa: ARG002 - MPI's own call has no name
        """A window of MPI's. Collective over the node."""
        if self._fence is None and keeps_order():
            self._lines, lines = self._made(LINE)
            self._fence = Fence(lines, self.place, self._progress) if lines else None
        segment, blocks = self._made(size) if self._fence or not keeps_order() else (None, ())
        if segment:
            self._segments.append(segment)
        return blocks

    @property
    def fence(self) -> Callable[[], None]:
        """Of counters, where a machine keeps the order of stores: MPI's barrier takes longer. On others a barrier."""
        return self._fence or self._barrier

    def _made(self, size: int) -> tuple[Segment | None, tuple[Tensor, ...]]:
        try:
            window = self._mpi.Win.Allocate_shared(self._padded(size), 1, comm=self.group)
        except self._mpi.Exception:
            return None, ()
        window.Lock_all(self._mpi.MODE_NOCHECK)  # from now on everybody may load and store at any time
        arrays = [np.frombuffer(window.Shared_query(rank)[0], dtype=np.uint8) for rank in range(self.group.size)]
        segment = Segment(window, tuple(map(weakref.ref, arrays)))
        return segment, tuple(_from_page(torch.from_numpy(array), size) for array in arrays)

    def _progress(self) -> None:
        """Let MPI send what other nodes wait for, and others use the core."""
        self.group.Iprobe()
        os.sched_yield()

    def _barrier(self) -> None:
        sync = self._segments[-1].window.Sync  # a fence for all memory of this process, whichever window is named
        sync()
        self.group.Barrier()
        sync()

    def give_back(self) -> None:
        """Free the windows that nobody looks at any more, on any rank of the group.

        The others stay until MPI ends: a gradient may be read after its communicator was closed.
        """
        self._segments = self._kept(self._segments, self._everyone)

    def give_up(self) -> None:
        """Free the last window."""
        self._segments.pop().free()

    def close(self) -> None:
        """Give back what nobody looks at, and leave."""
        self._fence = None
        if self._segments:
            gc.collect()  # what was only part of a cycle looks at nothing
        self.give_back()
        self._kept([self._lines] if self._lines else [], self.group)
        self.group.Free()

    def _kept(self, segments: list[Segment], group: Any) -> list[Segment]:
        """Those that somebody in ``group`` looks at; the others are freed."""
        seen = np.array([segment.seen for segment in segments], dtype=np.int8)
        group.Allreduce(self._mpi.IN_PLACE, seen, self._mpi.MAX)
        for segment, looked_at in zip(segments, seen, strict=True):
            if not looked_at:
                segment.free()
        return [segment for segment, keep in zip(segments, seen, strict=True) if keep]

    def _padded(self, size: int) -> int:
        """MPI begins the blocks of ranks anywhere: with a page more, each has pages of its own."""
        return round_up(size, shared_memory.PAGE) + shared_memory.PAGE


def _nodes(node: Any, group: Any) -> Nodes:
    """The ranks of each node of ``group``; those of a node know it by the first of them."""
    first = np.array([group.rank])
    node.Bcast(first, 0)
    firsts = np.empty(group.size, dtype=first.dtype)
    group.Allgather(first, firsts)
    return tuple(tuple(np.flatnonzero(firsts == first).tolist()) for first in dict.fromkeys(firsts.tolist()))


def _from_page(segment: Tensor, size: int) -> Tensor:
    """The ``size`` bytes of a segment from its first page boundary on."""
    start = -segment.data_ptr() % shared_memory.PAGE
    return segment[start : start + size]
