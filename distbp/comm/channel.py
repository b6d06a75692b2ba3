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
from distbp.errors import JobError

POLL = 0.002  # s between two looks
PATIENCE = 120.0  # s in which every rank of a job that has begun comes to where the others wait; no watch looks yet


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
        """Every rank's ``value``, in order of rank, on every rank. JobError where one does not come in time."""

    def absent(self, rank: int | None = None) -> JobError:
        """What is wrong where ``rank``, or one that is not known, keeps the others waiting."""
        who, cause = (self.rank, "some worker") if rank is None else (rank, "it")
        return JobError(f"{cause} did not come within {PATIENCE:g} s", rank=who, step=0, phase="start")

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


def until(complete: Callable[[], bool], late: JobError | None = None) -> None:
    """Return when ``complete()`` is true; raise ``late``, if it is given, when that takes too long."""
    end = time.monotonic() + PATIENCE
    while not complete():
        if late and time.monotonic() > end:
            raise late
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
