"""The launcher's own means to agree, before a communicator is chosen: JSON from rank 0, and JSON from every rank.

Waiting is polling. Nothing here blocks where a signal or a watch could not end it, and a rank that waits for the next
job leaves its core to the others.
"""

import functools
import json
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

from distbp.comm.world import World

POLL = 0.002  # s between two looks


class Channel(ABC):
    """Agreement between all ranks. Every rank makes the same calls in the same order."""

    def __init__(self, world: World) -> None:
        self.rank = world.rank
        self.size = world.size

    @abstractmethod
    def broadcast(self, value: Any) -> Any:
        """Rank 0's ``value``, which JSON can hold, on every rank; the others' is ignored."""

    @abstractmethod
    def gather(self, value: Any) -> list[Any]:
        """Every rank's ``value``, in order of rank, on every rank."""

    def close(self) -> None:  # noqa: B027 - only MPI has an end
        """Leave the launch in order. Every rank closes; no job follows in this process."""


class AloneChannel(Channel):
    """A process that nobody launched agrees with itself."""

    def broadcast(self, value: Any) -> Any:
        """``value``, as JSON gives it back."""
        return json.loads(json.dumps(value))

    def gather(self, value: Any) -> list[Any]:
        """``value`` alone, as JSON gives it back."""
        return [self.broadcast(value)]


def until(complete: Callable[[], bool]) -> None:
    """Return when ``complete()`` is true."""
    while not complete():
        time.sleep(POLL)


def channel(world: World) -> Channel:
    """The channel of this process's launch: always the same one, however many jobs it serves.

    RequestError where the launcher needs MPI and there is none, or MPI does not see the launcher's processes.
    """
    return _open(World(world.launcher, world.rank, world.size))  # how the ranks lie on nodes makes no other channel


@functools.cache
def _open(world: World) -> Channel:
    if world.launcher == "torchrun":
        from distbp.comm.channel_store import StoreChannel

        return StoreChannel(world)
    if world.launcher in ("mpirun", "srun"):
        from distbp.comm.channel_mpi import MpiChannel

        return MpiChannel(world)
    return AloneChannel(world)
