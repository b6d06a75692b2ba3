"""Children that a watched process forks (the workers of ``multiprocessing``): what is sent to them is theirs.

A child inherits its parent's handlers, and the pipe that tells the parent's watch of a signal.
"""

import os
import signal
from functools import cache
from typing import Protocol
from weakref import WeakSet

from distbp.comm.stop import SIGNALS


class Watching(Protocol):
    """What has taken the signals of this process."""

    def let_go(self) -> None:
        """Give them back, in a child."""


_WATCHING: WeakSet[Watching] = WeakSet()
_MASKS: list[set[signal.Signals | int]] = []


def let_children_go(watching: Watching) -> None:
    """From now on a child that is forked has its signals for itself, from its first moment on."""
    _WATCHING.add(watching)
    _register()


@cache
def _register() -> None:
    os.register_at_fork(before=_hold, after_in_parent=_release, after_in_child=_begin)


def _hold() -> None:
    """No signal comes between fork and the child's own handlers."""
    _MASKS.append(signal.pthread_sigmask(signal.SIG_BLOCK, (*SIGNALS, signal.SIGINT)))


def _release() -> None:
    signal.pthread_sigmask(signal.SIG_SETMASK, _MASKS.pop())


def _begin() -> None:
    try:
        for watching in _WATCHING:
            watching.let_go()
    finally:
        _release()
