"""The verbs of ``distbp bench``: a table on the screen, and with ``output`` the same as JSON."""

import json
from collections.abc import Callable, Sequence
from contextlib import closing
from typing import Any

import torch
from rich.console import Console

from distbp.agreement import agreed
from distbp.bench.names import MODELS
from distbp.comm.base import Communicator
from distbp.comm.channel import channel
from distbp.comm.connect import join
from distbp.comm.torch_dist import TorchCommunicator
from distbp.comm.world import World
from distbp.doctor import cpu_model
from distbp.errors import RequestError
from distbp.output import write
from distbp.precision import Precision
from distbp.result import device_name
from distbp.schema import Request


def bench_engines(request: Request, comm: Communicator, _console: Console) -> dict[str, Any]:
    """The engines compared on the device that a training would have."""
    from distbp.bench import engines
    from distbp.bench.setting import Setting

    gpu = comm.device.type == "cuda"
    refuse_precision(request, precisions=("fp32", "bf16"))
    everything = torch.get_num_threads()
    threads = [*dict.fromkeys([1, everything][gpu:])] if request.threads == "auto" else [request.threads]
    models = MODELS if request.bench.models == "all" else request.bench.models
    setting = Setting(request.seed, Precision(request.precision), comm.device)
    for model in models if setting.precision.dtype else ():
        setting.precision.refuse_unfit(setting.case(model).module)
    result = engines.bench(
        models,
        threads,
        rounds=request.bench.rounds,
        compiled=request.bench.compile == "auto",
        setting=setting,
        say=lambda line: print(line, flush=True),
    )
    result["environment"] = {**environment(everything, comm.device), "precision": request.precision}
    if request.output:
        write(json.dumps(result, indent=2), request.output)
    return result


def bench_reduction(request: Request, comm: Communicator, _console: Console) -> dict[str, Any]:
    """The sums compared between these workers."""
    from distbp.bench import reduction

    def rows(gloo: TorchCommunicator) -> list[dict[str, Any]]:
        largest, rounds = request.bench.largest, request.bench.rounds
        return reduction.bench(comm, gloo, largest=largest, rounds=rounds, say=say(comm))

    return beside_gloo(request, comm, rows)


def bench_rows(request: Request, comm: Communicator, _console: Console) -> dict[str, Any]:
    """Steps with tables of different heights compared between these workers."""
    from distbp.bench import tables

    def rows(gloo: TorchCommunicator) -> list[dict[str, Any]]:
        tallest, rounds = request.bench.tallest, request.bench.rounds
        return tables.bench(comm, gloo, tallest=tallest, rounds=rounds, seed=request.seed, say=say(comm))

    return beside_gloo(request, comm, rows)


def beside_gloo(
    request: Request, comm: Communicator, measure: Callable[[TorchCommunicator], list[dict[str, Any]]]
) -> dict[str, Any]:
    """The rows that ``measure`` makes, given gloo, which joins the same workers once more. Collective."""
    agreed(comm, lambda: refuse_gpu_and_precision(request) if comm.rank == 0 else None)
    world = World.detect()
    with closing(join(world, channel(world), kind="torch", device="cpu", timeout=request.comm.timeout)) as gloo:
        gloo.board = comm.board
        assert isinstance(gloo, TorchCommunicator)
        rows = measure(gloo)
    facts = {**environment(torch.get_num_threads(), comm.device), "workers": comm.size, "comm": comm.kind}
    result = {"rows": rows, "environment": facts}
    if request.output and comm.rank == 0:
        write(json.dumps(result, indent=2), request.output)
    return result


def say(comm: Communicator) -> Callable[[str], None]:
    """Print on rank 0 alone."""
    return lambda line: print(line, flush=True) if comm.rank == 0 else None


def environment(threads: int, device: torch.device) -> dict[str, Any]:
    """What the figures were measured on."""
    return {
        "device": device_name(device),
        "threads": threads,
        "cpu": cpu_model(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "torch": torch.__version__,
    }


def refuse_gpu_and_precision(request: Request) -> None:
    """RequestError, before minutes of measurement, for a GPU and for a precision."""
    if request.device == "cuda":
        raise RequestError("device", request.device, "cpu is allowed: this bench compares on a CPU")
    refuse_precision(request, precisions=("fp32",))


def refuse_precision(request: Request, *, precisions: Sequence[str]) -> None:
    """RequestError for a precision in which nothing is measured."""
    if request.precision not in precisions:
        raise RequestError("precision", request.precision, f"{' or '.join(precisions)} is allowed with this bench")
