"""A run as it stands, as a checkpoint has it; and a run that goes on from one."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from distbp.training.checkpoint import Checkpoint
from distbp.training.flat_state import by_name, restore

if TYPE_CHECKING:
    from distbp.training.trainer import Trainer


def taken(run: "Trainer") -> Checkpoint:
    """The run as it stands, whole on rank 0, until the next step. Collective."""
    epoch, batch = run.loader.after(run.position)
    parallel = run.parallel
    state = by_name(run.optimizer, parallel.weights, step=run.position)
    state |= run.average.by_name(step=run.position)
    for rows in parallel.touched_rows:
        state |= rows.by_name(run.optimizer)
    return Checkpoint(
        run.position,
        epoch,
        batch,
        run.plan.config,
        run.workload.module.state_dict(),
        state,
        reduction=parallel.reducer.order.state(),
        carried=parallel.carried.gathered(run.position),
        best=run.progress.best.state(),
        progress=run.progress.state(),
        scale=run.scale.state(),
        loss=run.looks.jumps.state(),
        data=run.plan.data,
        skipped=run.skipped,
    )


def put_back(checkpoint: Checkpoint, run: "Trainer") -> None:
    """All but the weights: of the optimizer and of the sums what they remember, where the request asks for the same.

    KeyError or RuntimeError where the optimizer's state does not fit.
    """
    parallel, plan = run.parallel, run.plan
    if checkpoint.config["optimizer"].get("_target_") == plan.config["optimizer"]["_target_"]:
        restore(checkpoint.optimizer, run.optimizer, parallel.weights)
        for rows in parallel.touched_rows:
            rows.restore(checkpoint.optimizer, run.optimizer)
    run.average.restore(checkpoint.optimizer)
    alike = {key for key, value in plan.config.items() if checkpoint.config.get(key) == value}
    if {"reduction", "shards"} <= alike:
        parallel.reducer.order.restore(checkpoint.reduction)
    if {"workload", "batch_size", "seed"} <= alike:
        parallel.carried.restore(checkpoint.carried, run.loader.cut)
    same_split = split_in(checkpoint.config) == split_in(plan.config)
    if same_split:  # figures of another split say nothing of this one's
        run.progress.best.restore(checkpoint.best)
    run.progress.restore(checkpoint.progress, same_split=same_split)
    run.scale.restore(checkpoint.scale)
    run.looks.jumps.restore(checkpoint.loss)
    run.skipped = checkpoint.skipped


def split_in(config: Mapping[str, Any]) -> Any:
    """The split that a run evaluates."""
    asked = config.get("evaluate")
    return asked.get("split") if isinstance(asked, Mapping) else None
