"""Contenders that run in processes of their own, while no worker of ours computes.

``python -m distbp.bench.apart KIND FILE CONTEST`` leaves the times in FILE as JSON; CONTEST is JSON, too.
"""

import gc
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict
from pathlib import Path

import torch

from distbp.bench.contenders import Autograd
from distbp.bench.models.case import joined
from distbp.bench.models.table import build_for
from distbp.bench.parallel import Replicated
from distbp.bench.race import Contest
from distbp.bench.rounds import Times
from distbp.bench.rounds import race as race_alone
from distbp.bench.together import slice_length, together
from distbp.comm.channel import channel
from distbp.comm.connect import join
from distbp.comm.kin import die_with_parent
from distbp.comm.torch_dist import TorchCommunicator
from distbp.comm.world import World
from distbp.errors import JobError

PYTHON = [sys.executable]
TORCHRUN = [*PYTHON, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "{workers}"]
TIMEOUT = 600.0  # s for one collective: the slowest step of the slowest model, many times over


def threads(contest: Contest) -> dict[str, Times]:
    """One process with as many threads as all workers have together, on the batches of all workers at once."""
    torch.set_num_threads(contest.workers * contest.threads)
    return {
        model: race_alone({"threads": whole(model, contest).step}, rounds=contest.rounds) for model in contest.models
    }


def whole(model: str, contest: Contest) -> Autograd:
    """The loop that people write, on the global batch."""
    return Autograd(joined([build_for(rank, model, seed=contest.seed) for rank in range(contest.workers)]))


def torchrun(contest: Contest) -> dict[str, Times]:
    """DistributedDataParallel as torchrun's users have it. Collective."""
    torch.set_num_threads(contest.threads)
    world = World.detect()
    link = channel(world)
    with closing(join(world, link, kind="torch", device="cpu", timeout=TIMEOUT)) as gloo:
        assert isinstance(gloo, TorchCommunicator)
        times = {model: replicated(model, contest, gloo) for model in contest.models}
        gc.collect()  # as in bench/race.py: no replica outlives its group
    link.close()
    return times if world.rank == 0 else {}


def replicated(model: str, contest: Contest, gloo: TorchCommunicator) -> Times:
    """The times of one model. Collective."""
    step = Replicated(build_for(gloo.rank, model, seed=contest.seed), gloo).step
    return together({"torchrun": step}, {"torchrun": slice_length(step, gloo)}, gloo, rounds=contest.rounds)


KINDS: Mapping[str, Callable[[Contest], dict[str, Times]]] = {"threads": threads, "torchrun": torchrun}
STARTS: Mapping[str, Sequence[str]] = {"threads": PYTHON, "torchrun": TORCHRUN}


def apart(kind: str, contest: Contest, *, leash: Sequence[str] = ()) -> dict[str, Times]:
    """What processes of their own find out. JobError where they fail. ``leash`` goes before their command."""
    with tempfile.TemporaryDirectory(prefix="distbp-") as folder:
        figures = Path(folder) / "figures.json"
        start = [word.format(workers=contest.workers) for word in STARTS[kind]]
        command = [*start, "-m", "distbp.bench.apart", kind, str(figures), json.dumps(asdict(contest))]
        done = subprocess.run([*leash, *command], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        if done.returncode:
            cause = f"the processes of bench race that measure {kind} ended with exit code {done.returncode}"
            raise JobError(f"{cause}:\n{done.stderr}", rank=0, step=0, phase="bench")
        found: dict[str, Times] = json.loads(figures.read_text())
        return found


def main(kind: str, figures: str, contest: str) -> None:
    """Measure, and leave the times in the file."""
    die_with_parent()
    asked = Contest(**json.loads(contest))
    if asked.cores and sys.platform == "linux":
        os.sched_setaffinity(0, asked.cores)
    if times := KINDS[kind](asked):
        Path(figures).write_text(json.dumps(times))


if __name__ == "__main__":
    main(*sys.argv[1:])
