"""Threads that read files side by side: Pillow lets go of the interpreter while it decodes."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from distbp.data import order

T = TypeVar("T")
R = TypeVar("R")


class Readers:
    """``number`` threads. They end with the process, and nothing depends on how many there are."""

    def __init__(self, number: int) -> None:
        self.number = number
        self._threads = ThreadPoolExecutor(max_workers=number, thread_name_prefix="reader")

    def each(self, read: Callable[[T], R], items: Sequence[T]) -> list[R]:
        """What ``read`` makes of each item, in order. The first exception is raised, in the order of the items."""

        def stretch(reader: int) -> list[R]:
            mine = order.leaves(len(items), self.number, reader)
            return [read(items[item]) for item in mine]

        # A stretch a reader: to hand over a small picture takes longer than to decode it.
        return [result for results in self._threads.map(stretch, range(self.number)) for result in results]
