"""The ranks of a node without MPI, and the memory that they share: anonymous files of Linux (``memfd_create``).

Such a file has no name: nothing is left of it when a job is killed, and it needs no room in /dev/shm. One rank makes
it, the others open it as ``/proc/PID/fd/N``.
"""

import mmap
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from distbp.alignment import round_up
from distbp.comm.base import Name
from distbp.comm.fence import LINE, Fence, keeps_order
from distbp.comm.node import Node
from distbp.comm.shared_memory import PAGE
from distbp.comm.window import Nodes
from distbp.comm.world import World

Gather = Callable[..., list[Any]]
"""``gather_json`` of a communicator."""


class MemoryNode(Node):
    """The ranks of ``world`` that see each other's memory, found by ``gather`` among all of them. Collective."""

    def __init__(self, world: World, gather: Gather, *, name: Name) -> None:
        self._gather = gather
        machines = gather([memory_of_this_machine(), world.local_rank, world.local_size], name=name)
        self.nodes = _nodes(machines)
        self.number = next(number for number, ranks in enumerate(self.nodes) if world.rank in ranks)
        self.place = self.nodes[self.number].index(world.rank)
        self._fence: Fence | None = None

    def allocate(self, size: int, *, name: Name) -> tuple[Tensor, ...]:
        """Blocks in a new file, which goes with the last tensor on it."""
        if self._fence is None and (lines := self._blocks(LINE, name)):
            self._fence = Fence(lines, self.place)
        return self._blocks(size, name) if self._fence else ()

    @property
    def fence(self) -> Callable[[], None]:
        """Of counters, which stand once memory has been allocated."""
        assert self._fence is not None, "nothing is shared yet"
        return self._fence

    def _blocks(self, size: int, name: Name) -> tuple[Tensor, ...]:
        ranks = self.nodes[self.number]
        padded = round_up(max(size, 1), PAGE)
        file = _made(padded * len(ranks)) if self.place == 0 else None
        try:
            told = self._gather([os.getpid(), file], name=name)
            pid, made = told[ranks[0]]
            shared = _opened(pid, made, padded * len(ranks))
            complete = all(self._gather(shared is not None, name=name))  # until then the file must stay open
        finally:
            if file is not None:
                os.close(file)
        if shared is None or not complete:
            return ()
        blocks = torch.frombuffer(shared, dtype=torch.uint8).view(len(ranks), padded)
        return tuple(blocks[place][:size] for place in range(len(ranks)))


def memory_of_this_machine() -> str | None:
    """What processes have in common that can open each other's files; None where it is not to be known."""
    if sys.platform != "linux" or not keeps_order():
        return None
    try:
        return (
            f"{Path('/proc/sys/kernel/random/boot_id').read_text().strip()} {Path('/proc/self/ns/pid').stat().st_ino}"
        )
    except OSError:
        return None


def _nodes(machines: list[tuple[str | None, int, int]]) -> Nodes:
    """The ranks of each node, of which a machine may be told to pretend several: then ranks begin again at 0 there."""
    nodes: dict[Any, list[int]] = {}
    on_machine: dict[str, int] = {}
    count = {machine: [m for m, *_ in machines].count(machine) for machine, *_ in machines}
    for rank, (machine, local_rank, local_size) in enumerate(machines):
        if machine is None:
            nodes[rank] = [rank]
            continue
        before = on_machine[machine] = on_machine.get(machine, -1) + 1
        pretended = local_size < count[machine]
        nodes.setdefault((machine, before - local_rank if pretended else 0), []).append(rank)
    return tuple(map(tuple, nodes.values()))


def _made(size: int) -> int | None:
    """An anonymous file of this size, or None."""
    try:
        file = os.memfd_create("distbp-window", os.MFD_CLOEXEC)
    except OSError:
        return None
    try:
        os.ftruncate(file, size)
    except OSError:
        os.close(file)
        return None
    return file


def _opened(pid: int, file: int | None, size: int) -> mmap.mmap | None:
    """That file of process ``pid``, mapped, or None."""
    if file is None:
        return None
    try:
        own = os.open(f"/proc/{pid}/fd/{file}", os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        return mmap.mmap(own, size)
    except OSError:
        return None
    finally:
        os.close(own)
