"""Joining the world from a script of the user's own: watched as our own workers are, and left in order."""

import atexit
import functools
import gc
import sys
import traceback
from types import TracebackType

from distbp.comm.base import Communicator, Name
from distbp.comm.channel import channel
from distbp.comm.connect import join
from distbp.comm.guard import failure, guard
from distbp.comm.watch import Watch, say_on_stderr
from distbp.comm.world import World
from distbp.errors import RequestError

TIMEOUT = 60.0  # s for one collective


class Membership:
    """This process's place in the world that launched it: one watch, however many communicators."""

    def __init__(self) -> None:
        self.world = World.detect()
        self.channel = channel(self.world)
        self.comms: list[Communicator] = []
        self.watch: Watch | None = None

    def join(self, device: str, timeout: float) -> Communicator:
        """A communicator of its own for tensors on ``device``. Collective.

        RequestError for a ``timeout`` that is none.
        """
        if not timeout > 0:
            raise RequestError("timeout", timeout, "a number of seconds above 0 is allowed, math.inf, too")
        if self.watch:
            self.watch.board.enter(Name(0, "start"), "join")  # a worker that joins alone would wait, and nobody look
        comm = join(self.world, self.channel, kind="auto", device=device, timeout=timeout)
        if self.watch:
            self.watch.board.leave()
        if self.comms:
            gc.collect()  # what was only part of a cycle looks at no window
        for other in self.comms:
            other.give_back()
        if self.world.launcher != "none" and self.watch is None:
            self.watch = guard(comm, self.channel, timeout=timeout, say=say_on_stderr, guest=True)
            sys.excepthook = self._fail
        if self.watch:
            comm.board = self.watch.board
            self.watch.timeout = max(self.watch.timeout, timeout)  # it watches over all of them
        self.comms.append(comm)
        return comm

    def leave(self) -> None:
        """The script is done."""
        if self.watch:
            self.watch.stop()
        for comm in reversed(self.comms):  # the first one holds what the others are made from
            comm.close()
        self.channel.close()

    def _fail(self, kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        """An exception that ends this script ends the others, too: they would wait for ever."""
        assert self.watch
        if isinstance(error, RequestError):  # what is wrong with the request is the same on every worker
            self.watch.end(error)
        self.watch.end(failure(error, self.watch.board), detail="".join(traceback.format_exception(kind, error, trace)))


@functools.cache
def membership() -> Membership:
    """The one of this process, which leaves in order when the process ends."""
    made = Membership()
    atexit.register(made.leave)
    return made


def join_world(device: str, timeout: float) -> Communicator:
    """A communicator of the world that launched this process, or of a world of one, for tensors on ``device``.

    A collective may take ``timeout`` seconds.
    """
    return membership().join(device, timeout)
