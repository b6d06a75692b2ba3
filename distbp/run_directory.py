"""The folder of one run: config.yaml, metrics.jsonl, result.json, checkpoints/."""

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
    given = request.run_dir or f"runs/{request.workload['name']}/{time.strftime('%Y-%m-%d_%H-%M-%S')}"
    return Path(comm.broadcast_json(given, name=Name(0, "start")))


def create(run_dir: Path, config: str, *, resumed: bool, needed_bytes: int) -> None:
    """Make the folder and write the configuration there. RequestError if it holds a run or cannot be written."""
    if (run_dir / CONFIG).exists() and not resumed:
        raise RequestError("run_dir", run_dir, "a folder that holds no run is allowed; or add resume=latest")
    try:
        run_dir.mkdir(parents=True, exist_ok=True)
        (run_dir / CONFIG).write_text(config)
        free = free_bytes(run_dir)
    except OSError as error:
        raise RequestError("run_dir", run_dir, f"a folder that can be written is needed ({error.strerror})") from error
    if free < needed_bytes + SPARE_BYTES:
        (run_dir / CONFIG).unlink()
        needed, there = (f"{number / 2**20:,.1f} MiB" for number in (needed_bytes + SPARE_BYTES, free))
        raise RequestError("run_dir", run_dir, f"{needed} of free space are needed for checkpoints, {there} are there")


def free_bytes(folder: Path) -> int:
    """The bytes that may be written there."""
    return shutil.disk_usage(folder).free
