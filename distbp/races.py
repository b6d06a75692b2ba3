"""The verbs of ``distbp bench race``: from a plain shell it starts all who take part, one after the other; workers that
somebody has started race among themselves.
"""

import json
import socket
import sys
from contextlib import closing
from dataclasses import replace
from typing import Any

from rich.console import Console

from distbp.agreement import agreed
from distbp.bench.apart import apart
from distbp.bench.names import MODELS
from distbp.bench.race import Contest, race
from distbp.bench.rounds import Times
from distbp.bench.standing import make_row, summarise, table
from distbp.benches import environment, refuse_gpu_and_precision
from distbp.comm.base import Communicator
from distbp.comm.channel import channel
from distbp.comm.connect import join
from distbp.comm.cores import mask
from distbp.comm.torch_dist import TorchCommunicator
from distbp.comm.world import World
from distbp.launcher import LEASH, start
from distbp.output import write
from distbp.schema import Request

Found = dict[str, Times]
"""The times of each contender, by model."""


def conduct(request: Request) -> dict[str, Any]:
    """The whole race, from a plain shell: one after the other, so that nobody computes beside those who are timed."""
    refuse_gpu_and_precision(request)
    contest = contest_of(request, request.workers or 1)
    found: list[Found] = []
    for kind, what in (
        ("threads", f"one process of {contest.workers * contest.threads} threads"),
        ("torchrun", "DistributedDataParallel under torchrun"),
    ):
        tell(what)
        found.append(apart(kind, contest, leash=LEASH))
    tell(f"everyone else, in {contest.workers} workers")
    inside = start("race", request)
    return report(request, [inside["times"], *found], inside["environment"])


def bench_race(request: Request, comm: Communicator, _console: Console) -> dict[str, Any]:
    """The race among workers that somebody has started; on one machine one process of many threads runs before it."""
    agreed(comm, lambda: refuse_gpu_and_precision(request) if comm.rank == 0 else None)
    world = World.detect()
    found = [threads_meanwhile(contest_of(request, comm.size), world)] if world.one_node else []
    inside = race_inside(request, comm, _console)
    return report(request, [inside["times"], *found], inside["environment"]) if comm.rank == 0 else {}


def race_inside(request: Request, comm: Communicator, _console: Console) -> dict[str, Any]:
    """The contenders that run in these workers; gloo joins the same workers once more."""
    world = World.detect()
    with closing(join(world, channel(world), kind="torch", device="cpu", timeout=request.comm.timeout)) as gloo:
        gloo.board = comm.board
        assert isinstance(gloo, TorchCommunicator)
        contest = contest_of(request, comm.size)
        times = race(contest, comm, gloo)
    return {
        "times": times,
        "environment": {**environment(contest.threads, comm.device), "workers": comm.size, "comm": comm.kind},
    }


def threads_meanwhile(contest: Contest, world: World) -> Found:
    """One process, on the cores of all workers, which sleep meanwhile: a channel's waiting leaves them free."""
    link = channel(world)
    everyone = link.gather([socket.gethostname(), sorted(mask())])
    cores = sorted({core for _, own in everyone for core in own})
    found: Found = link.broadcast(apart("threads", replace(contest, cores=cores)) if world.rank == 0 else None)
    return found


def contest_of(request: Request, workers: int) -> Contest:
    """Who is raced: workers have one thread each, if the request does not say otherwise."""
    models = MODELS if request.bench.models == "all" else request.bench.models
    threads = 1 if request.threads == "auto" else request.threads
    return Contest(tuple(models), request.bench.rounds, request.seed, workers, threads)


def report(request: Request, found: list[Found], facts: dict[str, Any]) -> dict[str, Any]:
    """The table on the screen, and with ``output`` the same as JSON."""
    rows = [make_row(model, {k: v for times in found for k, v in times[model].items()}) for model in found[0]]
    summary = summarise(rows)
    result = {"rows": rows, "summary": summary, "environment": facts}
    print(table(rows, summary))
    if request.output:
        write(json.dumps(result, indent=2), request.output)
    return result


def tell(what: str) -> None:
    """What is measured now, for whoever waits."""
    print(f"distbp: bench race: {what}", file=sys.stderr, flush=True)
