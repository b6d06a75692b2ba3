"""One job on one worker: the objects that a request asks for, put together, and run.

Every worker runs the same function with its own communicator; rank 0 alone writes and shows.
"""

from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from distbp import run_directory
from distbp.agreement import agreed, same_everywhere
from distbp.comm.base import Communicator, Name
from distbp.config import as_yaml, build
from distbp.data.fingerprint import fingerprint
from distbp.data.loader import Loader
from distbp.data.split import Split
from distbp.display import display
from distbp.engines.autograd import AutogradEngine
from distbp.engines.base import Engine
from distbp.engines.manual import ManualEngine
from distbp.errors import RequestError, nearest
from distbp.output import write
from distbp.record import Record, RunRecord, Silence, write_json
from distbp.reduction.compression.choice import choices
from distbp.result import conditions, outcome, peak_memory, sample_of, show
from distbp.resumption import compatible, find_checkpoint
from distbp.schema import Request
from distbp.training.checkpoint import Checkpoint
from distbp.training.checkpoint import fill as fill_module
from distbp.training.data_parallel import DataParallel
from distbp.training.digest import digest
from distbp.training.evaluation import evaluate as evaluate_split
from distbp.training.trainer import Plan, Trainer
from distbp.workloads.base import Workload

OPTIMIZER_BYTES = 12  # a parameter, and at most two numbers of state, in float32
OWED_BYTES = 4  # what a part has not sent of a gradient; the sum owes as much


def train(request: Request, comm: Communicator, console: Console) -> dict[str, Any]:
    """Train as the request says. Rank 0 returns what it wrote into ``result.json``; the others an empty result."""
    agreed(comm, lambda: run_directory.check(request))
    checkpoint = agreed(comm, lambda: find_checkpoint(request))
    if comm.rank == 0 and request.resume:
        console.print(f"resume: step {checkpoint.step if checkpoint else 0}", highlight=False)
    request = agreed(comm, lambda: compatible(request, checkpoint, size=comm.size))
    if request.threads != "auto":
        torch.set_num_threads(request.threads)  # a checkpoint's, perhaps
    workload = agreed(comm, lambda: build_workload(request, comm))
    split = agreed(comm, lambda: split_of(workload, request.evaluate.split))
    loader = loader_of(request, workload, comm)
    run_dir = open_directory(request, workload, comm)
    try:
        parallel = agreed(comm, lambda: data_parallel(request, workload, loader, comm))
    except RequestError:
        if comm.rank == 0 and not request.resume:
            run_directory.remove(run_dir)
        raise
    alike = conditions(request, workload.module, comm)
    same_everywhere(comm, alike | origins(request, workload, split, checkpoint))
    optimizer, schedule = build(request.optimizer, parameters=parallel.updated), build(request.schedule)
    trainer = Trainer(
        workload,
        parallel,
        loader,
        optimizer=optimizer,
        schedule=schedule,
        plan=plan_of(request),
        split=split,
        run_dir=run_dir,
    )
    if checkpoint:
        agreed(comm, lambda: trainer.resume(checkpoint))
    record = record_of(request, trainer, comm, console)
    trainer.fit(record)
    memory = peak_memory(comm)
    if not isinstance(record, RunRecord):
        return {}
    record.close()
    result = {**alike, **outcome(trainer, record), "peak_memory_bytes": memory, "sample": sample_of(workload)}
    if record.steps or not (run_dir / "result.json").exists():  # else all was done already, and told
        write_json(run_dir / "result.json", result)
    show(result, console)
    return result


def origins(request: Request, workload: Workload, split: Split, checkpoint: Checkpoint | None) -> dict[str, Any]:
    """What a run begins with besides its conditions: each worker may have read it from a disk of its own."""
    state = {**checkpoint.model, **checkpoint.optimizer} if checkpoint else {}
    return {
        "configuration": request.model_dump(mode="json"),
        "training data": fingerprint(workload.training),
        "evaluated data": fingerprint(split),
        "checkpoint": {"step": checkpoint.step, "sha256": digest(state)} if checkpoint else None,
    }


def evaluate(request: Request, comm: Communicator, _console: Console) -> dict[str, Any]:
    """The loss and the metrics of a checkpoint on a split."""
    if request.resume is None:
        raise RequestError("resume", None, "evaluate needs the checkpoint: the path of a run or of a checkpoint")
    checkpoint = agreed(comm, lambda: find_checkpoint(request))
    workload = agreed(comm, lambda: build_workload(request, comm))
    split = agreed(comm, lambda: split_of(workload, request.evaluate.split))
    agreed(comm, lambda: fill(workload, checkpoint, request))
    metrics = evaluate_split(workload, split, comm, batch_size=request.batch_size, step=0)
    if comm.rank == 0:
        write(
            "\n".join(f"{request.evaluate.split} {name} {value:.4f}" for name, value in metrics.items()), request.output
        )
    return {"metrics": metrics}


def build_workload(request: Request, comm: Communicator) -> Workload:
    """The workload with its data, its module where the communicator's tensors live."""
    workload: Workload = build(request.workload, path=request.data.path, cache=request.data.cache, seed=request.seed)
    workload.module.to(comm.device)
    return workload


def split_of(workload: Workload, name: str) -> Split:
    """The split of this name."""
    if name not in workload.splits:
        known = list(workload.splits)
        raise RequestError(
            "evaluate.split", name, f"one of {', '.join(known)} is allowed", nearest=nearest(name, known)
        )
    return workload.splits[name]


def fill(workload: Workload, checkpoint: Checkpoint | None, request: Request) -> None:
    """The checkpoint's weights into the module."""
    if checkpoint is None:
        raise RequestError("resume", request.resume, "there is no checkpoint yet")
    fill_module(workload.module, checkpoint)


def open_directory(request: Request, workload: Workload, comm: Communicator) -> Path:
    """The run's folder with its configuration, made by rank 0, where its checkpoints will fit. Collective."""
    parameters = sum(parameter.numel() for parameter in workload.module.parameters())
    each = OPTIMIZER_BYTES + (OWED_BYTES * (int(request.shards) + 1) if request.reduction.compression != "none" else 0)
    needed = each * parameters * (request.checkpoint.keep + 1)

    def make() -> str | None:
        return str(run_directory.create(request, as_yaml(request), needed_bytes=needed)) if comm.rank == 0 else None

    return Path(comm.broadcast_json(agreed(comm, make), name=Name(0, "start")))


def loader_of(request: Request, workload: Workload, comm: Communicator) -> Loader:
    """This worker's batches."""
    return Loader(
        workload.training,
        batch_size=request.batch_size,
        shards=int(request.shards),
        seed=request.seed,
        rank=comm.rank,
        size=comm.size,
        min_part=workload.min_part,
        device=comm.device,
    )


def data_parallel(request: Request, workload: Workload, loader: Loader, comm: Communicator) -> DataParallel:
    """The step, made ready for the shape of the first part."""
    summed = request.reduction
    engine: Engine = AutogradEngine(workload.module, workload.loss)
    if request.engine.name == "manual":
        engine = ManualEngine(workload.module, workload.loss, fallback=request.engine.fallback)
    parallel = DataParallel(
        workload.module,
        workload.loss,
        engine=engine,
        reduction=summed.name,
        compression=choices(rank=summed.rank, fraction=summed.fraction)[summed.compression] or "none",
        comm=comm,
        bucket_bytes=summed.bucket_bytes,
        micro_batches=request.micro_batches,
        min_part=workload.min_part,
        begin=workload.begin,
        seed=request.seed,
        guard_every=request.guards.every,
    )
    parallel.prepare(loader.example())
    return parallel


def plan_of(request: Request) -> Plan:
    """How far to train, and what to do on the way."""
    return Plan(
        epochs=request.epochs,
        steps=request.steps,
        lr=request.optimizer["lr"],
        batch_size=request.batch_size,
        evaluate_every=request.evaluate.every,
        checkpoint_every=request.checkpoint.every,
        keep=request.checkpoint.keep,
        config=request.model_dump(mode="json") | {"threads": torch.get_num_threads()},
    )


def record_of(request: Request, trainer: Trainer, comm: Communicator, console: Console) -> Record:
    """Rank 0's record of the run, and the others' silence."""
    if comm.rank != 0:
        return Silence()
    return RunRecord(
        trainer.run_dir, display(console, steps=trainer.steps), first=trainer.position, every=request.log.every
    )
