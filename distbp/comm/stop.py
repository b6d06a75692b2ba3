"""An orderly stop: a signal asks for it, all workers agree on the step after which they save, and it is over soon.

The worker that is told to stop tells those of its node on the board, where each answers. After which step all stop is
agreed in the step itself, where what each has been told reaches the others, on whatever node.
"""

import signal
import time

from distbp.comm.board import Board

SIGNALS = (signal.SIGTERM, signal.SIGUSR1)
"""The second is one that mpirun passes on and no more; a mpirun that gets SIGTERM kills its ranks after 0.25 s."""
TOGETHER = 0.5  # s in which signals are one stop: it may come from a process group, and from the launcher, too
ANSWER = 2.0  # s in which each worker of the node answers
LIMIT = 9.0  # s in which all is over: the step, and the checkpoint


class Stop:
    """Whether this worker knows that the job is to stop, and since when."""

    def __init__(self, board: Board) -> None:
        self.board = board
        self._since: float | None = None

    @property
    def begun(self) -> bool:
        """Whether it knows."""
        return self._since is not None

    @property
    def age(self) -> float:
        """Seconds since it knows."""
        return 0.0 if self._since is None else time.monotonic() - self._since

    def begin(self) -> None:
        """It knows now, and tells the others."""
        self._since = time.monotonic()
        self.board.ask()
        self.board.answer()

    def overdue(self) -> str | None:
        """Why it does not wait any longer."""
        if self.age > LIMIT:
            return f"the step and its checkpoint took longer than {LIMIT:g} s"
        silent = [rank for rank in self.board.ranks if not self.board.read(rank).answers]
        return f"rank {silent[0]} did not answer within {ANSWER:g} s" if silent and self.age > ANSWER else None
