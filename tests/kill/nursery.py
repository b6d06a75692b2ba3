"""Workers without a launch: forked from a process that has imported everything, and watched as any others are.

It reads a job, {"size", "folder", "overrides"}, from a line of its input, and answers with the workers' process ids;
after another line, whatever it says, with their exit codes, once all have ended. Until then their numbers are theirs.
"""

import json
import os
import sys
import traceback
from pathlib import Path

import torch
from hydra.types import RunMode
from rich.console import Console

from distbp import job
from distbp.comm import torch_dist
from distbp.comm.channel import Channel
from distbp.comm.channel_store import StoreChannel
from distbp.comm.connect import join
from distbp.comm.watch import say_on_stderr
from distbp.comm.world import World
from distbp.config import CONFIG, Loader, plain, search_path
from distbp.errors import DistbpError
from distbp.schema import from_config
from distbp.training.optimizers import adamw
from distbp.worker import watched
from tests.faults.tiny import tiny

CONF = str(Path(__file__).parents[1] / "faults" / "conf")
TIMEOUT = 20.0


class FileChannel(StoreChannel):
    """The channel of workers that meet in a file."""

    def __init__(self, path: Path, world: World) -> None:
        Channel.__init__(self, world)
        self.store = torch_dist.file_store(path, world.size)
        self._calls = 0


def work(order, request, rank):
    """What one worker does: the exit code."""
    world = World("torchrun", rank, order["size"], rank, order["size"])
    link = FileChannel(Path(order["folder"]) / "store", world)
    try:
        comm = join(world, link, kind="torch", device="cpu", timeout=TIMEOUT)
        with watched(comm, link, TIMEOUT, say_on_stderr):
            job.train(request, comm, Console(quiet=True))
    except DistbpError as error:
        os.write(2, f"{error.line}\n".encode())
        return error.exit_code
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def start(order, request, rank):
    """The process id of a new worker."""
    pid = os.fork()
    if pid:
        return pid
    errors = os.open(Path(order["folder"]) / "stderr", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(errors, 2)
    os._exit(work(order, request, rank))


def serve():
    """Do what the lines of the input say."""
    loader = Loader(search_path(CONF))
    adamw(tiny(pause=0.0, path=None, cache="", seed=0).module.parameters(), lr=0.1)  # what torch imports late
    print("ready", flush=True)
    for line in sys.stdin:
        order = json.loads(line)
        plainly = plain(loader.load_configuration(CONFIG, order["overrides"], RunMode.RUN))
        request = from_config(plainly, order["overrides"])
        pids = [start(order, request, rank) for rank in range(order["size"])]
        print(json.dumps(pids), flush=True)
        sys.stdin.readline()
        codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]
        print(json.dumps(codes), flush=True)


if __name__ == "__main__":
    torch.set_num_threads(1)
    serve()
