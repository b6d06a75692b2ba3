"""What workers can be told to do, by name: each function runs on every worker, with its own communicator."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from rich.console import Console

from distbp.benches import bench_engines, bench_reduction, bench_rows
from distbp.comm.base import Communicator
from distbp.comm.world import World
from distbp.doctor import measure, report, survey
from distbp.errors import RequestError
from distbp.finding import find_lr
from distbp.job import build_workload, evaluate, loader_of, train
from distbp.launcher import start
from distbp.output import write
from distbp.precision import Precision
from distbp.races import bench_race, race_inside
from distbp.resumption import compatible
from distbp.schema import Request


def doctor(request: Request, comm: Communicator, _console: Console) -> dict[str, Any]:
    """What this machine has and how fast its workers sum; alone, two workers are started for each transport."""
    facts = survey(World.detect())
    speeds = {comm.kind: measure(comm)} if comm.size > 1 else speeds_of_two(request)
    if comm.rank == 0:
        write(report(facts, speeds), request.output)
    return {"facts": dict(facts), "speeds": speeds}


def speeds_of_two(request: Request) -> dict[str, list[dict[str, Any]]]:
    """The speeds of each transport that two workers can have here."""
    found: dict[str, list[dict[str, Any]]] = {}
    for kind in ("mpi", "torch"):
        pair = request.model_copy(update={"workers": 2, "comm": request.comm.model_copy(update={"name": kind})})
        with suppress(RequestError):  # no MPI here, or no mpirun: the facts say so
            found[kind] = start("speeds", pair)["rows"]
    return found


def speeds(_request: Request, comm: Communicator, _console: Console) -> dict[str, Any]:
    """What ``doctor`` has each pair of workers find out."""
    return {"rows": measure(comm)}


def explain(request: Request, comm: Communicator, _console: Console) -> dict[str, Any]:
    """The table of the workload's mappings, then the source; with ``output`` that is a file that runs by itself."""
    from distbp.explain.explain import Explanation

    if request.engine.name != "manual":
        raise RequestError(
            "engine", request.engine.name, "manual is allowed: explain shows a program, which it alone has"
        )
    request = compatible(request, None, size=comm.size)
    workload = build_workload(request, comm)
    example = loader_of(request, workload, comm).example()
    fallback = request.engine.fallback == "autograd"
    state = workload.begin(len(example))
    precision = Precision(request.precision)
    explained = Explanation.of(workload.module, workload.loss, example, state, fallback=fallback, precision=precision)
    if request.output:
        write(explained.standalone(), request.output)
    print(explained.table(bucket_bytes=request.reduction.bucket_bytes))
    if not request.output:
        print(f"\n{explained.source}", end="")
    return {}


def check(request: Request, comm: Communicator, _console: Console) -> dict[str, Any]:
    """The workload held to the law: its maps, its program, its workers. JobError, naming the layer, where it fails."""
    from distbp.checking import checked

    return checked(request, comm)


VERBS: Mapping[str, Callable[[Request, Communicator, Console], dict[str, Any]]] = {
    "train": train,
    "evaluate": evaluate,
    "explain": explain,
    "check": check,
    "find_lr": find_lr,
    "doctor": doctor,
    "speeds": speeds,
    "bench engines": bench_engines,
    "bench reduction": bench_reduction,
    "bench race": bench_race,
    "bench rows": bench_rows,
    "race": race_inside,
}
