"""What will be asked for next, made by a thread of its own while what was asked for last is used."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Ahead(Generic[K, V]):
    """Values by key: ``make(key)``, and beforehand that of ``after(key, value)``, which is asked for next, as a rule.

    One value is made at a time, and one ahead. What goes wrong with a value is raised when it is asked for.
    """

    def __init__(self, make: Callable[[K], V], after: Callable[[K, V], K]) -> None:
        self._make = make
        self._after = after
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="ahead")
        self._next: tuple[K, Future[V]] | None = None

    def take(self, key: K) -> V:
        """The value of ``key``, made already if it was to be expected."""
        expected, self._next = self._next, None
        value = (expected[1] if expected and expected[0] == key else self._begun(key)).result()
        following = self._after(key, value)
        self._next = (following, self._begun(following))
        return value

    def forget(self) -> None:
        """Drop what was made ahead of its time, and see its maker idle."""
        dropped, self._next = self._next, None
        if dropped:
            wait([dropped[1]])

    def _begun(self, key: K) -> Future[V]:
        return self._thread.submit(self._make, key)
