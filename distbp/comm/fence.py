"""Where the ranks of a node meet: a counter for each of them, in memory that all see.

It relies on the order of stores that x86-64 keeps: whoever sees a counter sees what was written before it.
"""

import os
import platform
import time
from collections.abc import Callable, Sequence

from torch import Tensor

LINE = 64  # bytes: no two ranks' counters in one
LOOKS = 100  # before who waits lets others have the core: a few microseconds, which several system calls would take
SPIN = 1e-3  # s in which who waits does not sleep
NAP = 1e-4  # s


def keeps_order() -> bool:
    """Whether this machine's stores are seen in the order in which they were made."""
    return platform.machine() == "x86_64"


class Fence:
    """What any rank wrote before it, all read after it: each counts its turns, and waits until all have come as far.

    ``lines`` are as many bytes as ``LINE`` for each rank, zeros at first, of which this rank's is at ``place``. Who
    waits for long calls ``idle`` again and again, so that others can use the core.
    """

    def __init__(self, lines: Sequence[Tensor], place: int, idle: Callable[[], object] = os.sched_yield) -> None:
        self._counters = [line.numpy().data.cast("B").cast("q") for line in lines]
        self._own = self._counters[place]
        self._idle = idle
        self._turn = 0

    def __call__(self) -> None:
        """Meet."""
        self._turn = turn = self._turn + 1
        self._own[0] = turn
        for counter in self._counters:
            if counter[0] < turn:
                self._wait(counter, turn)

    def _wait(self, counter: memoryview, turn: int) -> None:
        for _ in range(LOOKS):
            if counter[0] >= turn:
                return
        patience = time.monotonic() + SPIN
        while counter[0] < turn:
            self._idle()
            if time.monotonic() > patience:
                time.sleep(NAP)
