"""The folder of one run: config.yaml, metrics.jsonl, result.json, checkpoints/; and the job that has it."""

import errno
import os
import shutil
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from distbp.durable import replace
from distbp.errors import RequestError
from distbp.events import FOLDER
from distbp.metrics_file import METRICS
from distbp.run_lock import LOCK, RunLock
from distbp.schema import Request
from distbp.training.shelf import saved, tidy

CONFIG, RESULT, CHECKPOINTS = "config.yaml", "result.json", "checkpoints"
SPARE_BYTES = 2**20  # for everything but the checkpoints


class RunDirectory:
    """The folder that a request gives, or a new one, which this job has for itself until it closes it.

    RequestError if another job has it, if it holds another run than is resumed, or if nothing can be written there. A
    request that is refused, within, before the run has a step to tell of, takes back what it made.
    """

    def __init__(self, request: Request) -> None:
        self.path = Path(request.run_dir or "runs")
        self._made: list[Path] = []
        self._fresh = False
        self._lock: RunLock | None = None
        try:
            self._take(request)
        except OSError as error:
            self._take_back()
            what = f"a folder that can be written is needed ({error.strerror})"
            raise RequestError("run_dir", self.path, what) from error
        except RequestError:
            self._take_back()
            raise

    def _take(self, request: Request) -> None:
        refuse_unwritable(self.path)
        self.path, self._made = made(request)
        for name in (CONFIG, METRICS, RESULT, CHECKPOINTS, FOLDER, LOCK):
            if (self.path / name).is_symlink():
                raise RequestError("run_dir", self.path, f"{name} in it is a link, which would be written through")
        self._lock = RunLock(self.path)
        holds_run = (self.path / CONFIG).exists() or saved(self.path / CHECKPOINTS)
        if holds_run and not request.resume:
            raise RequestError("run_dir", self.path, "a folder that holds no run is allowed; or add resume=latest")
        if saved(self.path / CHECKPOINTS) and not self._is_own(request.resume or ""):
            allowed = "it holds checkpoints of a run: a folder without is allowed; resume=latest goes on with that run"
            raise RequestError("run_dir", self.path, allowed)
        self._fresh = not holds_run
        tidy(self.path / CHECKPOINTS)

    def _is_own(self, resume: str) -> bool:
        """Whether ``resume`` is a checkpoint of the run in this folder."""
        path, run = Path(resume).expanduser().resolve(), self.path.resolve()
        return resume == "latest" or path == run or run / CHECKPOINTS in (path, path.parent)

    def write(self, config: str, *, needed_bytes: int) -> None:
        """Write the configuration there. RequestError if that fails, or checkpoints will not fit."""
        free = shutil.disk_usage(self.path).free
        if free < needed_bytes + SPARE_BYTES:
            needed, there = (f"{number / 2**20:,.1f} MiB" for number in (needed_bytes + SPARE_BYTES, free))
            raise RequestError("run_dir", self.path, f"{needed} of space are needed for checkpoints, {there} are free")
        try:
            replace(self.path / CONFIG, config)
        except OSError as error:
            what = f"a folder that can be written is needed ({error.strerror})"
            raise RequestError("run_dir", self.path, what) from error

    def __enter__(self) -> "RunDirectory":
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _trace: TracebackType | None) -> None:
        if isinstance(error, RequestError) and not (self.path / METRICS).exists():
            self._take_back()
        elif self._lock:
            self._lock.close()

    def _take_back(self) -> None:
        if self._fresh or self._made:
            (self.path / CONFIG).unlink(missing_ok=True)
            if self._lock:
                self._lock.remove()
        if self._lock:
            self._lock.close()
        with suppress(OSError):  # it holds something of the user's
            for folder in self._made:
                folder.rmdir()


def refuse_unwritable(run_dir: Path) -> None:
    """RequestError if it will not be possible to write there."""
    there = next(folder for folder in (run_dir, *run_dir.absolute().parents) if folder.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        raise RequestError("run_dir", run_dir, f"a folder that can be written is needed, and {there} is none")


def made(request: Request) -> tuple[Path, list[Path]]:
    """The folder that the request gives, or a new one; and those that had to be made for it, the innermost first.

    A new one is ``runs/<workload>/<time>``, numbered if another has that.
    """
    if request.run_dir:
        path = Path(request.run_dir)
        missing = missing_of(path)
        path.mkdir(parents=True, exist_ok=True)
        return path, missing
    now = Path("runs") / str(request.workload["name"]) / time.strftime("%Y-%m-%d_%H-%M-%S")
    missing = missing_of(now.parent)
    now.parent.mkdir(parents=True, exist_ok=True)
    for path in (now, *(now.with_name(f"{now.name}-{number}") for number in range(2, 1000))):
        with suppress(FileExistsError):
            path.mkdir()
            return path, [path, *missing]
    raise OSError(errno.EEXIST, os.strerror(errno.EEXIST))


def missing_of(path: Path) -> list[Path]:
    """The folders on the way to ``path`` that are not there, the innermost first."""
    return [folder for folder in (path, *path.parents) if not folder.exists()]
