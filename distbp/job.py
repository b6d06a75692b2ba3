"""One job on one worker: the objects that a request asks for, put together, and run.

Every worker runs the same function with its own communicator; rank 0 alone writes and shows.
"""

from collections.abc import Mapping
from contextlib import closing, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from torch import nn

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
from distbp.events import Events
from distbp.metrics_file import MetricsFile
from distbp.output import write
from distbp.precision import Precision
from distbp.recipe import optimizer_of, plan_of
from distbp.record import Record, RunRecord, Silence, write_json
from distbp.reduction.compression.choice import choices
from distbp.result import conditions, outcome, peak_memory, sample_of, show, told_otherwise
from distbp.resumption import compatible, find_checkpoint, refuse_changed_data, told
from distbp.run_directory import RESULT, RunDirectory
from distbp.schema import Request
from distbp.training.ailments import Ailments
from distbp.training.average import show as show_average
from distbp.training.checkpoint import fill_module
from distbp.training.data_parallel import DataParallel
from distbp.training.digest import digest
from distbp.training.evaluation import evaluate as evaluate_split
from distbp.training.groups import Groups
from distbp.training.last_batch import refuse_too_small
from distbp.training.moving_buffers import refuse_unsaved
from distbp.training.shelf import Found
from distbp.training.trained_on import refuse_other_names, trained_on
from distbp.training.trainer import Trainer
from distbp.workloads.base import Workload

OPTIMIZER_BYTES = 12  # a parameter, and at most two numbers of state, in float32
OWED_BYTES = 4  # what a part has not sent of a gradient; the sum owes as much


def train(request: Request, comm: Communicator, console: Console) -> dict[str, Any]:
    """Train as the request says. Rank 0 returns what it wrote into ``result.json``; the others an empty result."""
    directory = agreed(comm, lambda: RunDirectory(request) if comm.rank == 0 else None)
    with directory or nullcontext():
        return train_in(directory, request, comm, console)


def train_in(directory: RunDirectory | None, request: Request, comm: Communicator, console: Console) -> dict[str, Any]:
    """Train in the run's folder, which rank 0 has."""
    found = agreed(comm, lambda: find_checkpoint(request))
    checkpoint = found.checkpoint if found else None
    request = agreed(comm, lambda: compatible(request, checkpoint, size=comm.size))
    for line in told(request, found) if request.resume and comm.rank == 0 else ():
        console.print(line, highlight=False, soft_wrap=True)
    if request.threads != "auto":
        torch.set_num_threads(request.threads)  # a checkpoint's, perhaps
    workload = agreed(comm, lambda: build_workload(request, comm))
    data = agreed(comm, lambda: trained_on(workload))
    agreed(comm, lambda: refuse_changed_data(request, data, checkpoint))
    split = agreed(comm, lambda: split_of(workload, request.evaluate.split))
    run_dir = write_configuration(directory, request, workload, comm)
    loader, parallel, alike = prepared(request, workload, origins(request, data, split, found), comm)
    if parallel.engine.tables and request.average.decay is not None:
        raise RequestError("average.decay", request.average.decay, "null is allowed with tables that are marked sparse")
    trainer = Trainer(
        workload,
        parallel,
        loader,
        optimizer=optimizer_of(request, parallel),
        schedule=build(request.schedule),
        plan=replace(plan_of(request), data=data),
        split=split,
        run_dir=run_dir,
    )
    if found:
        agreed(comm, lambda: trainer.resume(found.checkpoint, found.path))
    if comm.rank == 0 and request.lr_scaling != "none":
        line = f"learning rate: {trainer.plan.lr:g}, for batch_size={request.batch_size}"
        console.print(line, highlight=False)
    record = agreed(comm, lambda: record_of(request, trainer, comm, console))
    with closing(record):
        trainer.fit(record)
        memory = peak_memory(comm)
    if not isinstance(record, RunRecord):
        return {}
    result = {**alike, **outcome(trainer, record), "peak_memory_bytes": memory, "sample": sample_of(workload)}
    if record.steps or told_otherwise(run_dir / RESULT, result):
        write_json(run_dir / RESULT, result)
    show(result, console)
    return result


def prepared(
    request: Request, workload: Workload, begun_with: Mapping[str, Any], comm: Communicator
) -> tuple[Loader, DataParallel, dict[str, Any]]:
    """This worker's batches, and the step; and what is alike on all workers, which has been compared."""
    loader = loader_of(request, workload, comm)
    parallel = agreed(comm, lambda: data_parallel(request, workload, loader, comm))
    alike = conditions(request, workload.module, comm)
    same_everywhere(comm, {**alike, **begun_with})
    return loader, parallel, alike


def origins(request: Request, data: Mapping[str, Any], split: Split, found: Found | None) -> dict[str, Any]:
    """What a run begins with besides its conditions: each worker may have read it from a disk of its own."""
    checkpoint = found and found.checkpoint
    state = {**checkpoint.model, **checkpoint.optimizer} if checkpoint else {}
    return {
        "configuration": request.model_dump(mode="json"),
        "training data": data,
        "evaluated data": fingerprint(split),
        "checkpoint": {"step": checkpoint.step, "sha256": digest(state)} if checkpoint else None,
    }


def evaluate(request: Request, comm: Communicator, _console: Console) -> dict[str, Any]:
    """The loss and the metrics of a checkpoint on a split."""
    if request.resume is None:
        raise RequestError("resume", None, "evaluate needs the checkpoint: the path of a run or of a checkpoint")
    found = agreed(comm, lambda: find_checkpoint(request))
    workload = agreed(comm, lambda: build_workload(request, comm))
    split = agreed(comm, lambda: split_of(workload, request.evaluate.split))
    agreed(comm, lambda: fill(workload, found, request))
    precision = Precision(request.precision)
    metrics = evaluate_split(workload, split, comm, batch_size=request.batch_size, step=0, precision=precision)
    assert metrics is not None, "who does not train leaves at once when asked to"
    if comm.rank == 0:
        write(
            "\n".join(f"{request.evaluate.split} {name} {value:.4f}" for name, value in metrics.items()), request.output
        )
    return {"metrics": metrics}


def build_workload(request: Request, comm: Communicator) -> Workload:
    """The workload with its data, its module where the communicator's tensors live."""
    given = {"path": request.data.path, "cache": request.data.cache, "seed": request.seed}
    try:
        workload: Workload = build(request.workload, **given)
    except RuntimeError as error:
        if "allocate memory" not in str(error):
            raise
        what = "it takes more memory than there is"
        raise RequestError("workload", request.workload["name"], what) from error
    if not len(workload.training):
        raise RequestError("workload", request.workload["name"], "data to train on are needed: there is no sample")
    for held in (workload.module, workload.loss):
        if isinstance(held, nn.Module):
            held.to(comm.device)
    Precision(request.precision).refuse_unfit(workload.module)
    return workload


def split_of(workload: Workload, name: str) -> Split:
    """The split of this name."""
    if name not in workload.splits:
        known = list(workload.splits)
        raise RequestError(
            "evaluate.split", name, f"one of {', '.join(known)} is allowed", nearest=nearest(name, known)
        )
    if not len(workload.splits[name]):
        raise RequestError("evaluate.split", name, "a split with samples is needed: it has none")
    return workload.splits[name]


def fill(workload: Workload, found: Found | None, request: Request) -> None:
    """The checkpoint's weights, or their averages where it has them, into the module."""
    if found is None:
        raise RequestError("resume", request.resume, "there is no checkpoint yet")
    refuse_other_names(found.checkpoint.data, workload, request.resume)
    fill_module(workload.module, found.checkpoint)
    show_average(workload.module, found.checkpoint.optimizer)


def write_configuration(
    directory: RunDirectory | None, request: Request, workload: Workload, comm: Communicator
) -> Path:
    """The run's folder, where rank 0 has written the configuration, if its checkpoints will fit. Collective."""
    parameters = sum(parameter.numel() for parameter in workload.module.parameters())
    each = OPTIMIZER_BYTES + (OWED_BYTES * (int(request.shards) + 1) if request.reduction.compression != "none" else 0)
    needed = each * parameters * (request.checkpoint.keep + 1 + (request.checkpoint.best is not None))

    def write() -> str | None:
        if directory is None:
            return None
        directory.write(as_yaml(request), needed_bytes=needed)
        return str(directory.path)

    return Path(comm.broadcast_json(agreed(comm, write), name=Name(0, "start")))


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
    precision = Precision(request.precision)
    engine: Engine = AutogradEngine(workload.module, workload.loss, precision=precision)
    if request.engine.name == "manual":
        engine = ManualEngine(workload.module, workload.loss, fallback=request.engine.fallback, precision=precision)
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
        groups=Groups(request.groups.decay, request.groups.rates or {}),
    )
    parallel.prepare(loader.example())
    refuse_too_small(parallel, loader)
    refuse_unsaved(workload.module, parallel.engine.moving or ())
    return parallel


def record_of(request: Request, trainer: Trainer, comm: Communicator, console: Console) -> Record:
    """Rank 0's record of the run, and the others' silence."""
    if comm.rank != 0:
        return Silence()
    run_dir, first = trainer.run_dir, trainer.position
    events = [Events(run_dir, first=first)] if request.log.tensorboard else []
    file = MetricsFile(run_dir, first=first)
    ailments = Ailments([name for name, p in trainer.workload.module.named_parameters() if p.dim() > 1])
    for layers in file.layers:
        ailments.look(layers)  # what they came to has been told
    shown = display(console, steps=trainer.steps)
    return RunRecord([file, *events], shown, ailments, every=request.log.every, loss=file.loss)
