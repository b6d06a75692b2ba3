"""The pool as tests see it: one call, whatever carries the ranks."""

import json
from collections.abc import Callable
from typing import Any

from distbp.comm import threads
from distbp.comm.local import LocalCommunicator
from tests.pool.launch import GRACE, Launch, RankError

SIZES = (1, 2, 3, 4)
GROUPS = [("local", 1), *((kind, size) for kind in ("threads", "mpi", "torch") for size in SIZES)]


class Pool:
    """The launches that have been made, by kind and size. Each serves until one of its ranks fails."""

    def __init__(self) -> None:
        self._launches: dict[tuple[str, int], Launch] = {}

    def run(self, kind: str, size: int, function: Callable[..., Any], *args: Any, timeout: float = 60.0) -> list[Any]:
        """Each rank's ``function(communicator, *args)``, in order of rank. Arguments and results pass as JSON.

        RankError where a rank raises, ends, or does not answer within ``timeout`` seconds: it carries the tracebacks
        of all ranks that failed.
        """
        if kind in ("local", "threads"):
            return _in_process(kind, size, function, _json(args), timeout)
        launch = self._launches.get((kind, size)) or Launch(kind, size)
        self._launches[kind, size] = launch
        try:
            return launch.run(function, args, timeout)
        except RankError:
            launch.end()
            del self._launches[kind, size]
            raise

    def end(self) -> None:
        """End every launch."""
        for launch in self._launches.values():
            launch.release()
        for launch in self._launches.values():
            launch.end(patience=GRACE)


def _in_process(kind: str, size: int, function: Callable[..., Any], args: Any, timeout: float) -> list[Any]:
    try:
        if kind == "local":
            return _json([function(LocalCommunicator(), *args)])
        return _json(threads.run(size, function, *args, timeout=timeout))
    except Exception as failure:
        raise RankError(f"{kind} x {size}: {type(failure).__name__}: {failure}") from failure


def _json(value: Any) -> Any:
    return json.loads(json.dumps(value))
