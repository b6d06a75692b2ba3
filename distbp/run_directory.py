"""The folder of one run: config.yaml, metrics.jsonl, result.json, checkpoints/."""

import os
import shutil
import time
from pathlib import Path

from distbp.comm.base import Communicator, Name
from distbp.errors import RequestError
from distbp.schema import Request

CONFIG = "config.yaml"
SPARE_BYTES = 2**20  # for everything but the checkpoints


def choose(request: Request, comm: Communicator) -> Path:
    """The folder that the request gives, or ``runs/<workload>/<time>`` by rank 0's clock. The same on every worker."""
    given = request.run_dir or str(unused(Path("runs") / request.workload["name"]))
    return Path(comm.broadcast_json(given, name=Name(0, "start")))


def unused(folder: Path) -> Path:
    """A folder in ``folder`` that is named by the time, and that no other run has."""
    now = folder / time.strftime("%Y-%m-%d_%H-%M-%S")
    names = (now, *(now.with_name(f"{now.name}-{number}") for number in range(2, 1000)))
    return next(name for name in names if not name.exists())


def check(run_dir: Path, *, resumed: bool) -> None:
    """RequestError if the folder holds a run that is not resumed, or if it will not be possible to write there."""
    if (run_dir / CONFIG).exists() and not resumed:
        raise RequestError("run_dir", run_dir, "a folder that holds no run is allowed; or add resume=latest")
    there = next(folder for folder in (run_dir, *run_dir.absolute().parents) if folder.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        raise RequestError("run_dir", run_dir, f"a folder that can be written is needed, and {there} is none")


def create(run_dir: Path, config: str, *, needed_bytes: int) -> None:
    """Make the folder and write the configuration there. RequestError if that fails, or checkpoints will not fit."""
    try:
        run_dir.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(run_dir).free
        if free < needed_bytes + SPARE_BYTES:
            needed, there = (f"{number / 2**20:,.1f} MiB" for number in (needed_bytes + SPARE_BYTES, free))
            raise RequestError("run_dir", run_dir, f"{needed} of space are needed for checkpoints, {there} are free")
        (run_dir / CONFIG).write_text(config)
    except OSError as error:
        raise RequestError("run_dir", run_dir, f"a folder that can be written is needed ({error.strerror})") from error
