"""The training loop: batches in, steps, evaluations and checkpoints out."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from torch import Tensor
from torch.optim import Optimizer

from distbp.data.loader import Batch, Loader
from distbp.data.split import Split
from distbp.record import Record, Silence
from distbp.training.checkpoint import Checkpoint, discard_after, fill, save
from distbp.training.data_parallel import DataParallel
from distbp.training.evaluation import evaluate
from distbp.training.flat_state import by_name, restore
from distbp.training.optimizers import update
from distbp.training.schedules import Schedule
from distbp.training.touched_rows import touching
from distbp.workloads.base import Workload


@dataclass(frozen=True)
class Plan:
    """How far to train, and what to do on the way."""

    epochs: int
    steps: int | None  # stops earlier
    lr: float
    batch_size: int
    evaluate_every: int | Literal["never"]  # epochs
    checkpoint_every: int | None  # steps
    keep: int
    config: dict[str, Any] = field(default_factory=dict)  # what was asked for, as a checkpoint tells it


class Trainer:
    """Trains one workload on one worker of a world; every worker has one, and all do the same steps."""

    def __init__(
        self,
        workload: Workload,
        parallel: DataParallel,
        loader: Loader,
        *,
        optimizer: Optimizer,
        schedule: Schedule,
        plan: Plan,
        split: Split,
        run_dir: Path,
    ) -> None:
        self.workload = workload
        self.parallel = parallel
        self.loader = loader
        self.optimizer = optimizer
        self.schedule = schedule
        self.plan = plan
        self.split = split
        self.run_dir = run_dir
        self.clock = parallel.clock
        self.steps = min(plan.epochs * loader.steps_per_epoch, plan.steps or plan.epochs * loader.steps_per_epoch)
        self.position = 0  # steps done
        self._saved = -1
        self.record: Record = Silence()
        self.metrics: dict[str, float] = {}

    def fit(self, record: Record) -> dict[str, float]:
        """Train to the end of the plan; the metrics of the evaluated split. What happens is told to ``record``."""
        self.record = record
        while self.position < self.steps:
            for batch in self.batches(self.position // self.loader.steps_per_epoch):
                self.step(batch)
            self.end_epoch()
        self.save()
        self.evaluate()
        return self.metrics

    def step(self, batch: Batch) -> None:
        """One batch: this worker's gradients, everybody's sum, one update."""
        begin, end = self.epochs_after(self.position), self.epochs_after(self.position + 1)
        lr = self.plan.lr * self.schedule((begin + end) / 2, self.plan.epochs)
        totals = self.parallel.gradients(batch.parts, batch.present, step=batch.step)
        if not totals.finite:
            raise self.parallel.blame(batch.parts, batch.present, step=batch.step)
        self.clock.at(batch.step, "update")
        with touching(self.parallel.touched_rows, self.parallel.row_gradients, self.optimizer):
            update(self.optimizer, lr=lr, count=totals.count)
        self.position = batch.step + 1
        self.clock.at(self.position, "data")
        self.record.step(
            batch,
            loss=totals.loss,
            lr=lr,
            compression_error=totals.compression_error,
            milliseconds=self.clock.take(),
        )
        if self.plan.checkpoint_every and self.position % self.plan.checkpoint_every == 0:
            self.save()

    def batches(self, epoch: int) -> Iterator[Batch]:
        """What is left of this epoch, up to the last step of the plan."""
        first = self.position % self.loader.steps_per_epoch
        self.clock.at(self.position, "data")
        self.clock.take()
        for batch in self.loader.epoch(epoch, first):
            yield batch
            if self.position == self.steps:
                return

    def end_epoch(self) -> None:
        """Evaluate, if it is time and the end, where it is done anyway, has not come."""
        every, done = self.plan.evaluate_every, self.position // self.loader.steps_per_epoch
        if every != "never" and self.position < self.steps and done % every == 0:
            self.evaluate()

    def evaluate(self) -> None:
        """The metrics of the split, recorded."""
        self.clock.at(self.position, "evaluate")
        self.metrics = evaluate(
            self.workload, self.split, self.parallel.comm, batch_size=self.plan.batch_size, step=self.position
        )
        self.record.evaluation(self.position, self.metrics)

    def save(self) -> None:
        """A checkpoint of this moment, written by rank 0, unless it has one, if all workers have its weights."""
        self.parallel.guard.compare(self.position)
        self.clock.at(self.position, "checkpoint")
        if self._saved != self.position:
            self._saved = self.position
            reduction, carried = self.parallel.reducer.order.state(), self.parallel.carried.gathered(self.position)
            if self.parallel.comm.rank == 0:
                save(self.checkpoint(reduction, carried), self.run_dir / "checkpoints", keep=self.plan.keep)
        self.clock.at(self.position, "data")

    def checkpoint(self, reduction: Mapping[str, Tensor], carried: Mapping[str, Tensor]) -> Checkpoint:
        """The run as it stands; ``reduction`` is what the sums remember, ``carried`` what the module carries on."""
        epoch, batch = divmod(self.position, self.loader.steps_per_epoch)
        state = by_name(self.optimizer, self.parallel.flat_parameters, self.parallel.layouts)
        for rows in self.parallel.touched_rows:
            state |= rows.by_name(self.optimizer)
        model = self.workload.module.state_dict()
        return Checkpoint(self.position, epoch, batch, self.plan.config, model, state, reduction, carried)

    def resume(self, checkpoint: Checkpoint) -> None:
        """Go on from a checkpoint, on whatever number of workers. RequestError if it is not of this module."""
        fill(self.workload.module, checkpoint)
        if checkpoint.config["optimizer"]["_target_"] == self.plan.config["optimizer"]["_target_"]:
            restore(checkpoint.optimizer, self.optimizer, self.parallel.flat_parameters, self.parallel.layouts)
            for rows in self.parallel.touched_rows:
                rows.restore(checkpoint.optimizer, self.optimizer)
        alike = {key for key, value in self.plan.config.items() if checkpoint.config.get(key) == value}
        if {"reduction", "shards"} <= alike:
            self.parallel.reducer.order.restore(checkpoint.reduction)
        if {"workload", "batch_size", "seed"} <= alike:
            self.parallel.carried.restore(checkpoint.carried, self.loader.cut)
        if self.parallel.comm.rank == 0:
            discard_after(checkpoint.step, self.run_dir / "checkpoints")
        self.position = self._saved = checkpoint.step

    def epochs_after(self, steps: int) -> float:
        """The epochs that so many steps make, in samples: the last batch of an epoch counts what it holds."""
        epoch, batch = divmod(steps, self.loader.steps_per_epoch)
        return epoch + self.loader.share(batch)
