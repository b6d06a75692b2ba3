"""The verb ``find_lr``: a range test of the learning rate, its curve and what it proposes."""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console

from distbp.agreement import agreed
from distbp.comm.base import Communicator
from distbp.errors import JobError, RequestError
from distbp.job import build_workload, origins, prepared, split_of
from distbp.output import write
from distbp.recipe import growth, optimizer_of, plan_of
from distbp.resumption import compatible
from distbp.schema import Request
from distbp.training.range_test import Curve, rising
from distbp.training.trained_on import trained_on
from distbp.training.trainer import Trainer

ROWS = 24  # of the curve on the screen
WIDTH = 48  # characters of the longest bar


def find_lr(request: Request, comm: Communicator, _console: Console) -> dict[str, Any]:
    """Train for ``find_lr.steps`` steps at rates that rise from ``find_lr.lowest`` to ``find_lr.highest``.

    As ``optimizer.lr`` has them: what ``lr_scaling`` makes of one is what a step takes. Nothing is saved. The curve and
    the proposal are printed, or left as JSON in ``output``.
    """
    span, factor = request.find_lr, growth(request)
    if request.resume:
        raise RequestError("resume", request.resume, "null is allowed: a range test begins with new weights")
    if span.lowest >= span.highest:
        raise RequestError("find_lr.lowest", span.lowest, f"less than find_lr.highest={span.highest:g} is allowed")
    request = agreed(comm, lambda: compatible(request, None, size=comm.size))
    workload = agreed(comm, lambda: build_workload(request, comm))
    split = agreed(comm, lambda: split_of(workload, request.evaluate.split))
    begun_with = agreed(comm, lambda: origins(request, trained_on(workload), split, None))
    loader, parallel, _ = prepared(request, workload, begun_with, comm)
    epochs = span.steps / loader.steps_per_epoch
    trainer = Trainer(
        workload,
        parallel,
        loader,
        optimizer=optimizer_of(request, parallel),
        schedule=rising(span.lowest, span.highest, epochs),
        plan=replace(
            plan_of(request),
            lr=span.highest * factor,
            steps=span.steps,
            epochs=math.ceil(epochs),
            checkpoint_every=None,
            nonfinite="skip",  # also with compression, which remembers: the test ends with the first such step
            looks_every=None,
        ),
        split=split,
        run_dir=Path(),
    )
    curve = walked(trainer, Curve(factor))
    if not curve.losses:
        raise JobError("the loss is not a number from the first step on", rank=comm.rank, step=0, phase="compute")
    found = {"lr": curve.proposal, "rates": curve.rates, "losses": curve.losses}
    if comm.rank == 0:
        write(json.dumps(found) if request.output else drawn(curve), request.output)
        if request.output:
            print(f"optimizer.lr={curve.proposal:g}")
    return found


def walked(trainer: Trainer, curve: Curve) -> Curve:
    """The curve of the trainer's steps, up to where the loss bursts: on every worker the same."""
    trainer.record = curve
    for epoch in range(trainer.plan.epochs):
        for batch in trainer.batches(epoch):
            trainer.step(batch)
            if curve.over:
                return curve
    return curve


def drawn(curve: Curve) -> str:
    """The curve as rows of rate, loss and a bar, and the proposal."""
    every = max(1, -(-len(curve.losses) // ROWS))
    points = [*zip(curve.rates, curve.losses, strict=True)][every - 1 :: every]
    least, most = min(curve.losses), max(loss for _, loss in points)
    lines = [
        f"{rate:10.2e}  {loss:10.4f}  {'#' * round(WIDTH * (loss - least) / max(most - least, 1e-12))}"
        for rate, loss in points
    ]
    return "\n".join([f"{'rate':>10}  {'loss':>10}", *lines, f"optimizer.lr={curve.proposal:g}"])
