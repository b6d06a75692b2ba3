"""The training loop: batches in, steps, evaluations and checkpoints out."""

import math
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import NoReturn

from torch.optim import Optimizer

from distbp.comm.base import Name
from distbp.data.batches import Batch, Place
from distbp.data.loader import Loader
from distbp.data.split import Split
from distbp.errors import RequestError, StoppedError
from distbp.record import Record, Silence
from distbp.training.average import Average
from distbp.training.best import Best
from distbp.training.checkpoint import Checkpoint, fill_module
from distbp.training.data_parallel import DataParallel
from distbp.training.evaluation import evaluate, first_sample, metrics_of
from distbp.training.looks import Looks
from distbp.training.loss_scale import LossScale
from distbp.training.optimizers import update as apply
from distbp.training.patience import Patience
from distbp.training.plan import Plan
from distbp.training.progress import Progress
from distbp.training.schedules import Schedule
from distbp.training.snapshot import put_back, taken
from distbp.training.totals import Totals
from distbp.training.touched_rows import touching
from distbp.training.writer import Writer
from distbp.workloads.base import Workload

LOOK = 0.05  # s for which a worker waits for its disk before it tells the others
MOST_SKIPPED = 10  # steps one after the other whose gradients are not numbers: more will not be better


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
        self.scale = LossScale(parallel.engine, examples=plan.batch_size)
        self.average = Average(plan.average, parallel.weights)
        self.looks = Looks(parallel, plan.looks_every)
        self.writer = Writer(run_dir / "checkpoints", keep=plan.keep)
        self.progress = Progress(Best(plan.best), Patience(plan.patience, plan.patience_of), schedule)
        self.position = 0  # steps done
        self.skipped = 0  # the last of them, whose gradients were no numbers
        self._saved = self._evaluated = -1  # and those at which that was done last
        self.record: Record = Silence()
        self.metrics: dict[str, float] = {}
        self._refuse_unknown_metrics()

    def _refuse_unknown_metrics(self) -> None:
        """RequestError for a rule of a metric that the workload has not: before the training, not after it."""
        device, precision = self.parallel.comm.device, self.parallel.engine.precision
        measured = first_sample(self.workload, self.split, device=device, precision=precision)
        if rules := self.progress.rules:
            metrics = metrics_of(self.workload, measured.sums, measured.scores)
            for rule in rules:
                rule.value(metrics)

    @property
    def steps(self) -> int:
        """Those of the whole job."""
        all_epochs = self.loader.steps_until(self.plan.epochs)
        return min(all_epochs, self.plan.steps or all_epochs)

    def fit(self, record: Record) -> dict[str, float]:
        """Train to the end of the plan; the metrics of the evaluated split. What happens is told to ``record``.

        StoppedError, on every worker, where one is told to stop; then the state is saved.
        """
        self.record = record
        with self.parallel.comm.board.saving(), closing(self.loader):
            self._fit()
        return self.metrics

    def _fit(self) -> None:
        if self.position:
            self.save()  # it goes on from a checkpoint, which may be elsewhere
            if self.loader.after(self.position).number == 0:
                self.end_epoch()
        while self.position < self.steps and not self.progress.patience.over:
            for batch in self.batches(self.loader.after(self.position).epoch):
                self.step(batch)
            self.end_epoch()
        self.save()
        if self._evaluated != self.position:
            self.evaluate()
        self.written()

    def step(self, batch: Batch) -> None:
        """One batch: this worker's gradients, everybody's sum, one update."""
        totals = self.parallel.gradients(batch.parts, batch.present, step=batch.step)
        if totals.finite:
            self.update(batch, totals)
        else:
            self.skip(batch, totals)
        self.writer.look()
        if self.plan.checkpoint_every and self.position % self.plan.checkpoint_every == 0:
            self.save()
        if totals.stop:
            self.stop()

    def update(self, batch: Batch, totals: Totals) -> None:
        """The weights after a step whose gradients are numbers, and its record."""
        begin, end = self.epochs_after(self.position), self.epochs_after(self.position + 1)
        lr = self.plan.lr * self.schedule((begin + end) / 2, self.plan.epochs)
        self.clock.at(batch.step, "update")
        self.looks.before(totals.loss, step=batch.step)
        rows = [rows.values for rows in self.parallel.row_gradients.values()]
        count = totals.count * self.parallel.engine.scale
        divisor, norm = self.plan.clip.bound(self.parallel.weights, rows, count=count, step=batch.step)
        with touching(self.parallel.touched_rows, self.parallel.row_gradients, self.optimizer):
            apply(self.optimizer, lr=lr, count=divisor)
        self.looks.after(count, self.record, step=batch.step)
        self.average.move()
        self.parallel.weights.spread(step=batch.step)
        self.position = batch.step + 1
        self.clock.at(self.position, "data")
        figures = {"loss": totals.loss, "lr": lr, "compression_error": totals.compression_error}
        figures |= {} if norm is None else {"gradient_norm": norm}
        self.record.step(batch, figures, self.clock.take())
        self.scale.grow()
        self.skipped = 0

    def skip(self, batch: Batch, totals: Totals) -> None:
        """Leave all as it was before a step whose numbers are none; JobError if that is not wanted, or goes on.

        Nobody is to blame where the gradients alone are none, and a smaller loss scale may help.
        """
        rescaled = math.isfinite(totals.loss_sum) and self.scale.back_off()
        error = None if rescaled else self.parallel.blame(batch.parts, batch.present, step=batch.step)
        self.parallel.carried.stay()
        self.skipped += not rescaled
        if error and (self.plan.nonfinite == "stop" or self.skipped > MOST_SKIPPED):
            raise error
        self.position = batch.step + 1
        self.clock.at(self.position, "data")
        self.clock.take()
        tell = self.record.skipped if error else self.record.rescaled
        tell(self.position, str(error or self.scale))

    def stop(self) -> NoReturn:
        """Save, and leave the rest to a run that goes on from there. No worker leaves before that is done."""
        self.save()
        self.written()
        where = f"after step {self.position}; saved in {self.run_dir}"
        raise StoppedError(f"{where}; the same command with run_dir={self.run_dir} resume=latest goes on")

    def batches(self, epoch: int) -> Iterator[Batch]:
        """What is left of this epoch, up to the last step of the plan."""
        first = self.loader.after(self.position).number
        self.clock.at(self.position, "data")
        self.clock.take()
        for batch in self.loader.epoch(epoch, first):
            yield batch
            if self.position == self.steps:
                return

    def end_epoch(self) -> None:
        """Evaluate, if it is time and the end, where it is done anyway, has not come."""
        every, done = self.plan.evaluate_every, self.loader.after(self.position).epoch
        if every != "never" and self.position < self.steps and done % every == 0:
            self.evaluate()

    def evaluate(self) -> None:
        """The metrics of the split, recorded."""
        self.clock.at(self.position, "evaluate")
        with self.average.shown(step=self.position):
            on, size, precision = self.parallel.comm, self.plan.batch_size, self.parallel.engine.precision
            metrics = evaluate(self.workload, self.split, on, batch_size=size, step=self.position, precision=precision)
        if metrics is None:
            self.stop()
        self.metrics, self._evaluated = metrics, self.position
        self.record.evaluation(self.position, self.metrics)
        if self.progress.take(metrics, step=self.position):
            self.save()

    def save(self) -> None:
        """A checkpoint of this moment, begun by rank 0, unless it has one, if all workers have its weights."""
        self.parallel.guard.compare(self.position)
        self.clock.at(self.position, "checkpoint")
        if self._saved != self.position:
            self._saved = self.position
            begin = time.perf_counter()
            self.written()
            checkpoint = taken(self)
            if self.parallel.comm.rank == 0:
                self.writer.write(checkpoint, before=self.record.commit, since=begin)
        self.clock.at(self.position, "data")

    def written(self) -> None:
        """Return when the last checkpoint is written. Collective: a disk may take longer than a collective may, so the
        others ask again and again.
        """
        name = Name(self.position, "checkpoint")
        while not all(self.parallel.comm.gather_json(self.writer.wait(LOOK), name=name)):
            pass

    def resume(self, checkpoint: Checkpoint, path: Path) -> None:
        """Go on from the checkpoint of ``path``, on whatever number of workers. RequestError if it does not fit.

        One that is not among those of this run becomes the first of them.
        """
        fill_module(self.workload.module, checkpoint)
        try:
            put_back(checkpoint, self)
        except (KeyError, RuntimeError) as error:
            what = f"its optimizer's state does not fit the module ({' '.join(str(error).split())})"
            raise RequestError("resume", path, what) from error
        own = path.parent.resolve() == self.writer.folder.resolve()
        if not own and self.progress.best.kept != checkpoint.step:
            self.progress.best.begin_anew()
        self.writer.leave_line(after=checkpoint.step)
        place = Place(checkpoint.epoch, checkpoint.batch)
        then = checkpoint.config.get("batch_size", self.loader.batch_size)
        self.loader.go_on(place, batch_size=then, steps=checkpoint.step)
        self.position = checkpoint.step
        self._saved = checkpoint.step if own else -1

    def epochs_after(self, steps: int) -> float:
        """The epochs that so many steps make, in samples: the last batch of an epoch counts what it holds."""
        place = self.loader.after(steps)
        return place.epoch + self.loader.share(place.number)
