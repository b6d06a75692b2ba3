"""Ranks as threads of one process: the readable specification of what every other communicator does.

A collective publishes each rank's tensor, waits, reads the others', and waits again before anyone may write.

Threads share what torch keeps for a whole process. While torch.export works it turns oneDNN off, for all of them, and a
convolution that runs meanwhile rounds otherwise: where bits count, ranks lower their programs before any computes.
"""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from torch import Tensor

from distbp.comm.base import DONE, Communicator, Name, Op, Work
from distbp.comm.payload import flat, widened
from distbp.comm.window import Window, zeros

T = TypeVar("T")
COMBINE: dict[Op, Callable[[Tensor, Tensor], Tensor]] = {"sum": torch.add, "max": torch.maximum, "min": torch.minimum}


class Group:
    """What the threads of one group share: a place for each rank's tensor, and a barrier.

    Every ``ranks_per_node`` of them make a node, whose ranks see each other's memory; ``across`` has a group for each
    place on a node. Nodes of unequal sizes share nothing.
    """

    def __init__(self, size: int, ranks_per_node: int) -> None:
        self.size = size
        self.places: list[tuple[Tensor, Sequence[int]]] = [(torch.empty(0), ())] * size
        self.barrier = threading.Barrier(size)
        width = ranks_per_node if size % ranks_per_node == 0 else 1
        self.nodes = tuple(tuple(range(first, first + width)) for first in range(0, size, width))
        self.meetings = [threading.Barrier(width) for _ in self.nodes]
        self.across = [Group(len(self.nodes), 1) for _ in range(width)] if width > 1 else []

    def abort(self) -> None:
        """Whoever waits for the others, or will, fails."""
        for barrier in (self.barrier, *self.meetings):
            barrier.abort()
        for group in self.across:
            group.abort()


class ThreadCommunicator(Communicator):
    """Rank ``rank`` of a group of threads. Reductions run in the order of the ranks."""

    kind = "threads"

    def __init__(self, rank: int, group: Group) -> None:
        super().__init__(rank, group.size)
        self.group = group

    @contextmanager
    def _published(self, tensor: Tensor, counts: Sequence[int] = ()) -> Iterator[list[tuple[Tensor, Sequence[int]]]]:
        """Every rank's tensor and counts, to be read within; afterwards their owners may write them."""
        self.group.places[self.rank] = flat(tensor), counts
        self.group.barrier.wait()
        yield list(self.group.places)
        self.group.barrier.wait()

    def _reduced(self, tensor: Tensor, op: Op) -> Tensor:
        with self._published(tensor) as places:
            result = widened(places[0][0])
            for other, _ in places[1:]:
                result = COMBINE[op](result, widened(other))
        return result

    def allocate(self, size: int, *, name: Name) -> Window:
        """Memory that the threads of a node see."""
        own = zeros(size, self.device)
        number, place = divmod(self.rank, len(self.group.nodes[0]))
        if not self.group.across:
            return Window.private(own, self)
        self.board.enter(name, "allocate")
        with self._published(own) as places:
            blocks = tuple(places[rank][0] for rank in self.group.nodes[number])
        self.board.leave()
        across = ThreadCommunicator(number, self.group.across[place])
        across.board = self.board
        return Window(blocks, place, self.group.nodes, across, lambda: self._meet(number))

    def _meet(self, number: int) -> None:
        self.group.meetings[number].wait()

    def _all_reduce(self, tensor: Tensor, op: Op) -> Work:
        flat(tensor).copy_(self._reduced(tensor, op))
        return DONE

    def _reduce_scatter(self, output: Tensor, tensor: Tensor, op: Op) -> Work:
        start = self.rank * output.numel()
        flat(output).copy_(self._reduced(tensor, op)[start : start + output.numel()])
        return DONE

    def _all_gather(self, output: Tensor, tensor: Tensor) -> Work:
        with self._published(tensor) as places:
            torch.cat([block for block, _ in places], out=flat(output))
        return DONE

    def _all_to_all(self, output: Tensor, tensor: Tensor, received: Sequence[int], sent: Sequence[int]) -> Work:
        with self._published(tensor, sent) as places:
            blocks = [block.split_with_sizes(list(counts))[self.rank] for block, counts in places]
            assert [block.numel() for block in blocks] == list(received), "all_to_all: counts do not match"
            torch.cat(blocks, out=flat(output))
        return DONE

    def _broadcast(self, tensor: Tensor, root: int) -> Work:
        with self._published(tensor) as places:
            if self.rank != root:
                flat(tensor).copy_(places[root][0])
        return DONE

    def _barrier(self) -> Work:
        self.group.barrier.wait()
        return DONE


def run(
    size: int, function: Callable[..., T], *args: Any, timeout: float = 60.0, ranks_per_node: int | None = None
) -> list[T]:
    """Call ``function(communicator, *args)`` on ``size`` threads and return their results, in order of rank.

    Every ``ranks_per_node`` of them, by default all, make a node. The first exception of a rank is raised here, after
    the others have left their collectives. A rank that has not ended after ``timeout`` seconds is named in a
    TimeoutError.
    """
    group = Group(size, ranks_per_node or size)
    results: dict[int, T] = {}
    failures: list[BaseException] = []

    def rank(number: int) -> None:
        try:
            results[number] = function(ThreadCommunicator(number, group), *args)
        except BaseException as failure:
            failures.append(failure)
            group.abort()

    threads = [threading.Thread(target=rank, args=(number,), daemon=True) for number in range(size)]
    for thread in threads:
        thread.start()
    missing = _join(threads, timeout)
    first = failures[0] if failures else None
    group.abort()
    if first is not None:
        raise first
    if missing:
        raise TimeoutError(f"ranks {missing} of {size} threads have not ended after {timeout:g} s")
    return [results[number] for number in range(size)]


def _join(threads: Sequence[threading.Thread], timeout: float) -> list[int]:
    """Wait for the threads, ``timeout`` seconds in all; return the numbers of those that still run."""
    deadline = time.monotonic() + timeout
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    return [number for number, thread in enumerate(threads) if thread.is_alive()]
