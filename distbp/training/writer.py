"""The writer: checkpoints go to the disk in a thread of its own, while training goes on.

What training waits for is a copy of the tensors, and the checkpoint before, where that is still being written.
"""

import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from distbp.errors import JobError
from distbp.training.checkpoint import Checkpoint, save
from distbp.training.shelf import discard_after, keep_newest

TELL = 60.0  # s


class Writer:
    """Writes one checkpoint at a time into ``folder``, and keeps the newest ``keep`` and the best.

    ``stalls`` are the seconds for which each save kept training waiting, ``writes`` those that it took.
    """

    def __init__(self, folder: Path, *, keep: int) -> None:
        self.folder = folder
        self.keep = keep
        self.stalls: list[float] = []
        self.writes: list[float] = []
        self._thread: threading.Thread | None = None
        self._failure: JobError | None = None
        self._left: int | None = None
        self._begun, self._told = 0.0, 0

    def write(self, checkpoint: Checkpoint, *, before: Callable[[], None], since: float) -> None:
        """Copy it, and begin to write it; ``before()`` comes before it is committed. JobError as of ``look``.

        ``since`` is when the training began to wait (``time.perf_counter``).
        """
        self.wait()
        self._begun, self._told = time.perf_counter(), 0
        self._thread = threading.Thread(
            target=self._write, args=(checkpoint.copy(), before), name="distbp-writer", daemon=True
        )
        self._thread.start()
        self.stalls.append(time.perf_counter() - since)

    def leave_line(self, *, after: int) -> None:
        """Checkpoints of more steps, which the folder may hold, go with the first one that is written: they are of a
        line that this run does not follow.
        """
        self._left = after

    def wait(self, seconds: float | None = None) -> bool:
        """Whether all is written, by the end of so many seconds. JobError as of ``look``.

        Once a minute it says that it is not: nothing else would tell what all workers wait for.
        """
        if self._thread:
            self._thread.join(seconds)
        self.look()
        if not (self._thread and self._thread.is_alive()):
            return True
        took = time.perf_counter() - self._begun
        if took > TELL * (self._told + 1):
            self._told += 1
            print(f"distbp: a checkpoint is being written to {self.folder} for {took:.0f} s", file=sys.stderr)
        return False

    def look(self) -> None:
        """JobError if a checkpoint could not be written."""
        if self._failure:
            raise self._failure

    def _write(self, checkpoint: Checkpoint, before: Callable[[], None]) -> None:
        begin = time.perf_counter()
        done = "the checkpoint cannot be written to", "those before it are whole"
        try:
            before()
            if self._left is not None:
                discard_after(self._left, self.folder)
                self._left = None
            save(checkpoint, self.folder)
            done = "an old checkpoint cannot be removed from", "the new one is whole"
            keep_newest(self.keep, self.folder, best=checkpoint.best.get("step"))
        except OSError as error:
            cause = f"{done[0]} {self.folder} ({error.strerror}); {done[1]}"
            self._failure = JobError(cause, rank=0, step=checkpoint.step, phase="checkpoint")
        except Exception as error:
            cause = f"{done[0]} {self.folder} ({type(error).__name__}: {error}); {done[1]}"
            self._failure = JobError(cause, rank=0, step=checkpoint.step, phase="checkpoint")
        self.writes.append(time.perf_counter() - begin)
