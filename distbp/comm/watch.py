"""The watch of one worker: a thread that ends it when the job cannot go on.

The main thread may sit in a collective that will never complete, where no Python code of it runs. The watch looks
around ten times a second: has the launcher gone, was this worker told to stop, is a peer on this node dead, has one
failed, has one entered another collective than this one, has a collective taken too long? Then it says so once for the
node, with rank, step and phase, and exits. A rank for which others wait writes the stack of each of its threads first.

A worker that trains and is told to stop asks all the others to, and has until ``LIMIT`` to save; see ``Stop``.
"""

import faulthandler
import math
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import NoReturn

from distbp.comm.board import Board, State
from distbp.comm.forks import let_children_go
from distbp.comm.kin import alive, die_with_parent, stderr_of
from distbp.comm.remains import clear
from distbp.comm.stop import SIGNALS, TOGETHER, Stop
from distbp.errors import DistbpError, JobError, StoppedError

STDERR = 2  # the descriptor: sys.stderr may be redirected, or closed, when there is something to say
INTERVAL = 0.1  # s between looks
PATIENCE = 1.0  # s in which a lost peer shows itself after a signal or a broken connection

Say = Callable[[DistbpError], None]


class Watch:
    """Watches over this worker from ``start`` to ``stop``; ``say(error)`` is called at most once a node.

    ``parent`` is the launcher's process; without one the worker is alone, and only told to stop. In a script of the
    user's own it is a ``guest``: there a signal that has a handler already keeps it. Everywhere one that is given
    another handler later is that handler's.
    """

    def __init__(
        self, board: Board, *, say: Say, timeout: float = math.inf, parent: int | None = None, guest: bool = False
    ) -> None:
        self.board = board
        self._guest = guest
        self.timeout = timeout
        self.say = say
        self._parent = parent
        self._its_stderr = stderr_of(parent) if parent else -1
        self._stop = Stop(board)
        self._leaves = False
        self._back = 0.0  # when this process last went on after it had been stopped (Ctrl-Z, say)
        self._wake, self._signals = os.pipe()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._look_around, name="distbp-watch", daemon=True)
        self._before: dict[int, object] = {}
        self._wakeup_before = -1

    def start(self) -> None:
        """Take the signals that stop, ask for one when the parent dies, and begin to look around.

        From the main thread.
        """
        os.set_blocking(self._signals, False)
        for number in (*SIGNALS, signal.SIGINT) if self._parent else SIGNALS:
            if not self._guest or signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
                self._before[number] = signal.signal(number, _taken)
        self._wakeup_before = signal.set_wakeup_fd(self._signals, warn_on_full_buffer=False)
        let_children_go(self)
        if self._parent:
            die_with_parent()
        self._thread.start()

    def stop(self) -> None:
        """The job is done: look no more, and leave the signals as they were. A stop may come by several ways: late."""
        self.board.end(State.FINISHED)
        self._stopped.set()
        self._thread.join()
        signal.set_wakeup_fd(self._wakeup_before)
        if not self.board.asked:
            self._give_back()
        if self._its_stderr >= 0:
            os.close(self._its_stderr)
        os.close(self._wake)
        os.close(self._signals)

    def let_go(self) -> None:
        """In a child that this process has forked: signals are the child's own, and tell this watch nothing."""
        signal.set_wakeup_fd(-1)
        self._give_back()

    def _give_back(self) -> None:
        for number, handler in self._before.items():
            if signal.getsignal(number) is _taken:
                signal.signal(number, handler)  # type: ignore[arg-type]

    def leave_saved(self, stop: StoppedError | None) -> NoReturn:
        """The job was told to stop, and is saved: exit at once, after saying so if it is for this rank to say."""
        if stop:
            self.say(stop)
        self.board.end(State.FINISHED)
        leave(StoppedError.exit_code)

    def end(self, error: DistbpError, *, detail: str = "") -> None:
        """This worker has failed: say so for the node, and exit. A peer's loss that caused it is the better news."""
        if self.board.read(self.board.rank).waiting:
            self._await(self._unlike, self._lost)
        self._exit(error, detail=detail)

    def _look_around(self) -> None:
        try:
            self._look_until_stopped()
        except Exception as error:  # an unwatched worker could wait for ever
            self._exit(self._error(self.board.rank, f"its watch failed: {type(error).__name__}: {error}"))

    def _look_until_stopped(self) -> None:
        shown, looked = False, time.monotonic()
        while not self._stopped.is_set():
            ready, _, _ = select.select([self._wake], [], [], INTERVAL)
            before, looked = looked, time.monotonic()
            if looked - before > PATIENCE:
                self._back = looked
            if ready:
                self._signalled(os.read(self._wake, 1)[0])
            if self.board.asked:
                self._stopping()
            if self.board.accused and not shown:
                shown = True
                faulthandler.dump_traceback(STDERR)
            for look in (self._orphaned, self._unlike, self._lost, self._late):
                error = look()
                if error and not self._stopped.is_set():
                    self._exit(error)

    def _signalled(self, number: int) -> None:
        """A launcher that ends its workers has a reason, which is the better news; else this is a plain stop."""
        if number not in self._before or signal.getsignal(number) is not _taken:
            return
        if error := self._orphaned():
            self._exit(error)
        if self._parent and not alive(self._parent):  # killed, it ends thread by thread: with the first we are told
            self._await(self._orphaned)
        if number not in SIGNALS or not (self.board.saves or self._stop.begun):
            self._leaves = True
            if self._parent:
                self._await(self._orphaned, self._unlike, self._lost)
            self._leave(number)
        elif not self._stop.begun:
            if number == signal.SIGTERM:
                self._speak_for_parent()  # mpirun, when it ends its ranks, passes no more of their lines on
            self._stop.begin()
        elif self._stop.age > TOGETHER:
            self._leave(number)

    def _stopping(self) -> None:
        """The job is to stop. Whoever does not train has nothing to save."""
        if not self._stop.begun:
            self._stop.begin()
            if not self.board.saves:
                self._leave(signal.SIGTERM)
        if cause := self._stop.overdue():
            self._exit(self._unsaved(cause))

    def _unsaved(self, cause: str) -> StoppedError:
        return StoppedError(f"at step {self.board.read(self.board.rank).step}, not saved: {cause}")

    def _leave(self, number: int) -> None:
        """End this process at once, without a word."""
        if not self._stopped.is_set():
            self.board.end(State.STOPPED)
            leave(StoppedError.exit_code if number in SIGNALS else 128 + number)

    def _speak_for_parent(self) -> None:
        if self._its_stderr >= 0:
            os.dup2(self._its_stderr, STDERR)

    def _await(self, *looks: Callable[[], DistbpError | None]) -> None:
        """Give a loss that is under way the time to show itself, and end with it."""
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until and not self._stopped.is_set():
            for look in looks:
                if error := look():
                    self._exit(error)
            time.sleep(INTERVAL / 10)

    def _orphaned(self) -> JobError | None:
        if self._parent in (None, os.getppid()):
            return None
        self._speak_for_parent()  # our own lines ended in a pipe to it
        return self._error(self.board.rank, f"its launcher (process {self._parent}) is gone")

    def _unlike(self) -> JobError | None:
        """While this rank waits: the library may never come back, or fail where the rank that is wrong does not."""
        return self.board.dispute() if self.board.read(self.board.rank).waiting else None

    def _lost(self) -> DistbpError | None:
        mine = self.board.read(self.board.rank)
        for rank in self.board.ranks:
            row = self.board.read(rank)
            if row.state == State.FAILED and rank != self.board.rank:
                return self._error(rank, "it failed")
            if row.state == State.STOPPED and rank != self.board.rank and not self._leaves:
                if self._stop.begun:
                    return self._unsaved(f"rank {rank} has left")
                return self._error(rank, "it was told to stop")
            if row.state == State.FINISHED and mine.waiting and row.collectives < mine.collectives:
                return self._error(rank, "it ended before the job was done")
            if row.state == State.RUNNING and row.pid and not alive(row.pid):
                return self._error(rank, f"process {row.pid} is gone (killed, or out of memory)")
        return None

    def _late(self) -> JobError | None:
        mine = self.board.read(self.board.rank)
        # While this process was stopped its peers were, too, or have waited for it: those seconds tell nothing of them.
        if not mine.waiting or time.monotonic() - max(mine.since, self._back) < self.timeout:
            return None
        rows = {rank: self.board.read(rank) for rank in self.board.ranks}
        late = min(rows, key=lambda rank: rows[rank].collectives)
        if rows[late].collectives == mine.collectives:
            return self._error(self.board.rank, f"a collective took longer than comm.timeout={self.timeout:g} s")
        self.board.accuse(late)
        time.sleep(2 * INTERVAL)  # it writes where it is, unless it is stopped
        return self._error(late, f"it did not arrive within comm.timeout={self.timeout:g} s")

    def _error(self, rank: int, cause: str) -> JobError:
        row = self.board.read(rank)
        return JobError(cause, rank=rank, step=row.step, phase=row.phase)

    def _exit(self, error: DistbpError, *, detail: str = "") -> None:
        """Say it, if nobody on this node has yet, and end this process at once."""
        if self.board.claim():
            os.write(STDERR, detail.encode())
            self.say(error)
        self.board.end(State.STOPPED if isinstance(error, StoppedError) else State.FAILED)
        leave(error.exit_code)


def _taken(_number: int, _frame: object) -> None:
    """The handler of a signal that a watch has taken: it reads of it in its pipe."""


def say_on_stderr(error: DistbpError) -> None:
    """One line: what a worker that ends the job has to say."""
    os.write(STDERR, f"{error.line}\n".encode())


def leave(exit_code: int) -> NoReturn:
    """End this process now. No exit handler runs: MPI's would wait for peers that never come."""
    clear()
    with suppress(OSError, ValueError):  # nobody may be there to read
        sys.stdout.flush()
    os._exit(exit_code)
