"""Faults inside the writer of checkpoints: at its n-th write, fsync, rename or removal it is killed, or fails.

A write that fails has written a share, as on a disk that is full.
"""

import os
import shutil
import signal
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

from distbp import durable


class Fault:
    """``strike()`` is called at the n-th of the calls, counted from 0, before it takes place or after it.

    Before: in a write, when ``share`` of it is done.
    """

    def __init__(self, strike=lambda: None, number=-1, *, after=False, share=0.5):
        self.strike, self.number, self.after, self.share = strike, number, after, share
        self.calls = 0

    def wrap(self, call, begin=lambda *_: None):
        """``call``, in which the fault may strike, when it has begun."""

        def struck(*arguments, **settings):
            due = self.calls == self.number
            self.calls += 1
            if due and not self.after:
                begin(*arguments)
                self.strike()
            result = call(*arguments, **settings)
            if due and self.after:
                self.strike()
            return result

        return struck

    @contextmanager
    def within(self):
        """Within, the fault is there."""
        put, rename, mkdir = durable.put, Path.rename, Path.mkdir

        def put_some(file, piece):
            put(file, piece[: int(self.share * len(piece))])

        with (
            patch.object(durable, "put", self.wrap(put, put_some)),
            patch.object(os, "fsync", self.wrap(os.fsync)),
            patch.object(Path, "rename", self.wrap(rename)),
            patch.object(Path, "mkdir", self.wrap(mkdir)),
            patch.object(os, "unlink", self.wrap(os.unlink)),
            patch.object(os, "rmdir", self.wrap(os.rmdir)),
        ):
            yield


def killed(work, number, *, after, share):
    """Do the work in a process of its own, which is killed at its n-th call; whether it was."""
    pid = os.fork()
    if pid == 0:
        with Fault(lambda: os.kill(os.getpid(), signal.SIGKILL), number, after=after, share=share).within():
            work()
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL


def calls_of(work):
    """How many calls the work makes in which a fault can strike."""
    fault = Fault()
    with fault.within():
        work()
    return fault.calls


def copied(folder, place):
    """A copy of the folder."""
    shutil.rmtree(place, ignore_errors=True)
    return Path(shutil.copytree(folder, place))
