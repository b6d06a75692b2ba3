"""What a run came to: the conditions that its bits depend on, ``result.json``, and the table at the end."""

import json
import platform
import resource
import statistics
import sys
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch import nn

from distbp import __version__
from distbp.comm.base import Communicator, Name
from distbp.metrics_file import number
from distbp.record import RunRecord
from distbp.schema import Request
from distbp.training.digest import digest
from distbp.training.evaluation import evaluating
from distbp.training.trainer import Trainer
from distbp.training.writer import Writer
from distbp.workloads.base import Workload

ALL_DONE = "all steps are done"
LIBRARIES = ("torch", "numpy", "mpi4py", "hydra-core")


def conditions(request: Request, module: nn.Module, comm: Communicator) -> dict[str, Any]:
    """All that the bits of a result depend on besides the samples; compared between the ranks before step 1."""
    return {
        "workload": request.workload["name"],
        "engine": request.engine.name,
        "reduction": request.reduction.name,
        "compression": request.reduction.compression,
        "bits_depend_on_workers": request.reduction.name != "ordered",
        "shards": request.shards,
        "threads": torch.get_num_threads(),
        "device": device_name(comm.device),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "precision": request.precision,
        "seed": request.seed,
        "split": request.evaluate.split,
        "parameters": sum(parameter.numel() for parameter in module.parameters()),
        "versions": {
            "distbp": __version__,
            "python": platform.python_version(),
            **{name: version(name) for name in LIBRARIES},
        },
    }


def outcome(trainer: Trainer, record: RunRecord) -> dict[str, Any]:
    """What the training came to."""
    comm, metrics = trainer.parallel.comm, {name: number(value) for name, value in trainer.metrics.items()}
    return {
        "comm": comm.kind,
        "world_size": comm.size,
        "steps": trainer.position,
        "epochs": trainer.epochs_after(trainer.position),
        "samples": round(trainer.epochs_after(trainer.position) * trainer.loader.examples),
        "train_loss": record.loss,
        "split_loss": metrics.pop("loss"),
        "metrics": metrics,
        **record.timing(),
        "checkpoints": checkpoints(trainer.writer),
        "best": trainer.progress.best.state(),
        "ended": trainer.progress.patience.over if trainer.position < trainer.steps else ALL_DONE,
        "loss_scale": trainer.scale.value,
        "weights_sha256": digest(trainer.workload.module.state_dict()),
        "run_dir": str(trainer.run_dir),
    }


def told_otherwise(path: Path, result: Mapping[str, Any]) -> bool:
    """Whether a run that had nothing left to do has a result that is not the one at ``path``."""
    try:
        before = json.loads(path.read_text())
    except (OSError, ValueError):
        return True
    return any(before.get(key) != result[key] for key in ("steps", "weights_sha256", "split", "metrics"))


@torch.no_grad()
def sample_of(workload: Workload) -> str:
    """What the module makes to be read, as it is now."""
    with evaluating(workload.module):
        return workload.sample()


def checkpoints(writer: Writer) -> dict[str, Any]:
    """How many were saved; milliseconds for which training waited for one, and in which one was written (medians)."""
    times = {"stall_ms": writer.stalls, "write_ms": writer.writes}
    medians = {name: 1e3 * statistics.median(seconds) if seconds else 0.0 for name, seconds in times.items()}
    return {"saved": len(writer.writes), **medians}


def device_name(device: torch.device) -> str:
    """The kind of device: equal kinds, equal bits."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def peak_memory(comm: Communicator) -> int:
    """The most bytes that any worker's process has held, or its GPU. Collective."""
    if comm.device.type == "cuda":
        mine = torch.cuda.max_memory_allocated(comm.device)
    else:
        unit = 1 if sys.platform == "darwin" else 1024
        mine = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    most: int = max(comm.gather_json(mine, name=Name(0, "end")))
    return most


def show(result: Mapping[str, Any], console: Console) -> None:
    """The short table at the end of a run."""
    console.print(f"{result['workload']} on {workers(result)}", highlight=False)
    table = Table(show_header=False)
    table.add_row("steps", f"{result['steps']:,} ({result['epochs']:g} epochs)")
    if result["train_loss"] is not None:
        table.add_row("train loss", f"{result['train_loss']:.4f}")
    for name, value in result["metrics"].items():
        table.add_row(f"{result['split']} {name}", "not finite" if value is None else f"{value:.4f}")
    table.add_row("samples/s", f"{result['samples_per_second']:,.0f}")
    if best := result["best"]:
        table.add_row(f"best ({best['of']})", f"{best['value']:.4f}, after step {best['step']:,}")
    if result["ended"] != ALL_DONE:
        table.add_row("ended", result["ended"])
    if result["checkpoints"]["saved"]:
        table.add_row("checkpoints", saves(**result["checkpoints"]))
    table.add_row("run", result["run_dir"])
    console.print(table)
    if result["sample"]:
        console.print(result["sample"], highlight=False, markup=False)


def saves(*, saved: int, stall_ms: float, write_ms: float) -> str:
    """``12, each written in 80.1 ms, while training waited 0.9 ms``."""
    return f"{saved}, each written in {write_ms:,.1f} ms, while training waited {stall_ms:,.1f} ms"


def workers(result: Mapping[str, Any]) -> str:
    """``2 workers (mpi, manual)``."""
    size = result["world_size"]
    return f"{size} worker{'s' if size > 1 else ''} ({result['comm']}, {result['engine']} engine)"
