"""What workers can be told to do, by name: each function runs on every worker, with its own communicator."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from rich.console import Console

from distbp.comm.base import Communicator
from distbp.comm.world import World
from distbp.doctor import measure, report, survey
from distbp.errors import RequestError
from distbp.job import evaluate, train
from distbp.launcher import start
from distbp.output import write
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


VERBS: Mapping[str, Callable[[Request, Communicator, Console], dict[str, Any]]] = {
    "train": train,
    "evaluate": evaluate,
    "doctor": doctor,
    "speeds": speeds,
}
