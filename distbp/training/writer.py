"""The writer: checkpoints go to the disk in a thread of its own, while training goes on.

What training waits for is a copy of the tensors, and the checkpoint before, where that is still being written.
"""

import threading
import time
from collections.abc import Callable
from pathlib import Path

from distbp.errors import JobError
from distbp.training.checkpoint import Checkpoint, save
from distbp.training.shelf import keep_newest


class Writer:
    """Writes one checkpoint at a time into ``folder``, and keeps the newest ``keep``.

    ``stalls`` are the seconds for which each save kept training waiting, ``writes`` those that it took.
    """

    def __init__(self, folder: Path, *, keep: int) -> None:
        self.folder = folder
        self.keep = keep
        self.stalls: list[float] = []
        self.writes: list[float] = []
        self._thread: threading.Thread | None = None
        self._failure: JobError | None = None

    def write(self, checkpoint: Checkpoint, *, before: Callable[[], None], since: float) -> None:
        """Copy it, and begin to write it; ``before()`` comes before it is committed. JobError as of ``look``.

        ``since`` is when the training began to wait (``time.perf_counter``).
        """
        self.wait()
        self._thread = threading.Thread(
            target=self._write, args=(checkpoint.copy(), before), name="distbp-writer", daemon=True
        )
        self._thread.start()
        self.stalls.append(time.perf_counter() - since)

    def wait(self) -> None:
        """Return when all is written. JobError as of ``look``."""
        if self._thread:
            self._thread.join()
        self.look()

    def look(self) -> None:
        """JobError if a checkpoint could not be written."""
        if self._failure:
            raise self._failure

    def _write(self, checkpoint: Checkpoint, before: Callable[[], None]) -> None:
        begin = time.perf_counter()
        done = "the checkpoint cannot be written to", "those before it are whole"
        try:
            before()
            save(checkpoint, self.folder)
            done = "an old checkpoint cannot be removed from", "the new one is whole"
            keep_newest(self.keep, self.folder)
        except OSError as error:
            cause = f"{done[0]} {self.folder} ({error.strerror}); {done[1]}"
            self._failure = JobError(cause, rank=0, step=checkpoint.step, phase="checkpoint")
        except Exception as error:
            cause = f"{done[0]} {self.folder} ({type(error).__name__}: {error}); {done[1]}"
            self._failure = JobError(cause, rank=0, step=checkpoint.step, phase="checkpoint")
        self.writes.append(time.perf_counter() - begin)
