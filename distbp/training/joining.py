"""Joining the world from a script of the user's own: watched as our own workers are, and left in order."""

import atexit
import sys
import traceback
from types import TracebackType

from distbp.comm.base import Communicator
from distbp.comm.channel import Channel, channel
from distbp.comm.connect import join
from distbp.comm.guard import failure, guard
from distbp.comm.watch import Watch, say_on_stderr
from distbp.comm.world import World

TIMEOUT = 60.0  # s for one collective


def join_world(device: str) -> Communicator:
    """The communicator of whoever launched this process, or of a world of one, for tensors on ``device``."""
    world = World.detect()
    link = channel(world)
    comm = join(world, link, kind="auto", device=device, timeout=TIMEOUT)
    if world.launcher != "none":
        watch = guard(comm, link, timeout=TIMEOUT, say=say_on_stderr)
        fail_for_all(watch)
        atexit.register(leave_in_order, comm, link, watch)
    return comm


def fail_for_all(watch: Watch) -> None:
    """An exception that ends this script ends the others, too: they would wait for ever."""

    def hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        watch.end(failure(error, watch.board), detail="".join(traceback.format_exception(kind, error, trace)))

    sys.excepthook = hook


def leave_in_order(comm: Communicator, link: Channel, watch: Watch) -> None:
    """The script is done."""
    watch.stop()
    comm.close()
    link.close()
