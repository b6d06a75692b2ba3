"""The folder of one run: config.yaml, metrics.jsonl, result.json, checkpoints/."""

import errno
import os
import shutil
import time
from contextlib import suppress
from pathlib import Path

from distbp.errors import RequestError
from distbp.schema import Request

CONFIG = "config.yaml"
SPARE_BYTES = 2**20  # for everything but the checkpoints


def check(request: Request) -> None:
    """RequestError if the folder holds a run that is not resumed, or if it will not be possible to write there."""
    run_dir = Path(request.run_dir or "runs")
    if request.run_dir and (run_dir / CONFIG).exists() and not request.resume:
        raise RequestError("run_dir", run_dir, "a folder that holds no run is allowed; or add resume=latest")
    there = next(folder for folder in (run_dir, *run_dir.absolute().parents) if folder.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        raise RequestError("run_dir", run_dir, f"a folder that can be written is needed, and {there} is none")


def create(request: Request, config: str, *, needed_bytes: int) -> Path:
    """Make the folder and write the configuration there. RequestError if that fails, or checkpoints will not fit."""
    run_dir = Path(request.run_dir or "runs")
    try:
        run_dir = made(request)
        free = shutil.disk_usage(run_dir).free
        if free < needed_bytes + SPARE_BYTES:
            needed, there = (f"{number / 2**20:,.1f} MiB" for number in (needed_bytes + SPARE_BYTES, free))
            raise RequestError("run_dir", run_dir, f"{needed} of space are needed for checkpoints, {there} are free")
        with (run_dir / CONFIG).open("w" if request.resume else "x") as file:
            file.write(config)
    except FileExistsError as error:  # another job was quicker
        raise RequestError("run_dir", run_dir, "a folder that holds no run is allowed; or add resume=latest") from error
    except OSError as error:
        raise RequestError("run_dir", run_dir, f"a folder that can be written is needed ({error.strerror})") from error
    return run_dir


def remove(run_dir: Path) -> None:
    """Take back what ``create`` made, for a run that was refused before it began."""
    (run_dir / CONFIG).unlink()
    with suppress(OSError):  # the folder was there before, and holds something of the user's
        run_dir.rmdir()


def made(request: Request) -> Path:
    """The folder that the request gives, or a new one: ``runs/<workload>/<time>``, numbered if another has that."""
    if request.run_dir:
        Path(request.run_dir).mkdir(parents=True, exist_ok=True)
        return Path(request.run_dir)
    now = Path("runs") / str(request.workload["name"]) / time.strftime("%Y-%m-%d_%H-%M-%S")
    now.parent.mkdir(parents=True, exist_ok=True)
    for name in (now, *(now.with_name(f"{now.name}-{number}") for number in range(2, 1000))):
        with suppress(FileExistsError):
            name.mkdir()
            return name
    raise OSError(errno.EEXIST, os.strerror(errno.EEXIST))
