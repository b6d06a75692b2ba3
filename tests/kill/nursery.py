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
from distbp.worker import watched

CONF = str(Path(__file__).parents[1] / "faults" / "conf")
TIMEOUT = 20.0


class FileChannel(StoreChannel):
    """The channel of workers that meet in a file."""

    def __init__(self, path: Path, world: World) -> None:
        Channel.__init__(self, world)
        self.store = torch_dist.file_store(path, world.size)
        self._calls = 0


def work(order, rank):
    """What one worker does: the exit code."""
    world = World("torchrun", rank, order["size"], rank, order["size"])
    link = FileChannel(Path(order["folder"]) / "store", world)
    request = from_config(plain(LOADER.load_configuration(CONFIG, order["overrides"], RunMode.RUN)), order["overrides"])
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


def start(order, rank):
    """The process id of a new worker."""
    pid = os.fork()
    if pid:
        return pid
    errors = os.open(Path(order["folder"]) / "stderr", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(errors, 2)
    os._exit(work(order, rank))


def serve():
    """Do what the lines of the input say."""
    print("ready", flush=True)
    for line in sys.stdin:
        order = json.loads(line)
        pids = [start(order, rank) for rank in range(order["size"])]
        print(json.dumps(pids), flush=True)
        sys.stdin.readline()
        codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]
        print(json.dumps(codes), flush=True)


if __name__ == "__main__":
    torch.set_num_threads(1)
    LOADER = Loader(search_path(CONF))
    serve()
