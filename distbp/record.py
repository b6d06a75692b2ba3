"""What a run leaves behind and shows: metrics.jsonl, result.json, and its progress on the console.

Rank 0 records; the other ranks have a record that is silent.
"""

import json
import os
import statistics
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from distbp.data.batches import Batch
from distbp.display import Display
from distbp.durable import replace
from distbp.errors import JobError

PHASES = ("data", "compute", "reduce", "update")
WARM_UP = 5  # steps that do not count for the medians
WINDOW = 10_000  # steps of which the medians are taken


class Record(ABC):
    """What a trainer reports to."""

    @abstractmethod
    def step(self, batch: Batch, figures: Mapping[str, float], milliseconds: Mapping[str, float]) -> None:
        """A step is done; ``figures`` are its loss, its rate and more, ``milliseconds`` its phases on this worker."""

    @abstractmethod
    def skipped(self, step: int, cause: str) -> None:
        """A step has changed nothing, because its gradients were not numbers; it made ``step`` steps in all."""

    def rescaled(self, step: int, cause: str) -> None:
        """The same, because they were too large for float16 as they were scaled: no more than a way to find the scale.

        By default it is told as ``skipped``.
        """
        self.skipped(step, cause)

    @abstractmethod
    def evaluation(self, step: int, metrics: Mapping[str, float]) -> None:
        """An evaluation after ``step`` steps is done."""

    def commit(self) -> None:  # noqa: B027 - most write nothing down
        """Have the disk hold what has been recorded: a checkpoint of this moment is about to be saved."""

    def close(self) -> None:  # noqa: B027 - most show nothing
        """The run is over, or stopped."""


class Silence(Record):
    """The record of the ranks that do not record."""

    def step(self, batch: Batch, figures: Mapping[str, float], milliseconds: Mapping[str, float]) -> None:
        """Nothing."""

    def skipped(self, step: int, cause: str) -> None:
        """Nothing."""

    def evaluation(self, step: int, metrics: Mapping[str, float]) -> None:
        """Nothing."""


class RunRecord(Record):
    """The record of a run: a line of JSON every ``every`` steps and for each evaluation, and the display."""

    def __init__(self, run_dir: Path, display: Display, *, first: int, every: int) -> None:
        self.display = display
        self.every = every
        self.steps = 0
        self._times: deque[dict[str, float]] = deque(maxlen=WINDOW)
        self._rates: deque[float] = deque(maxlen=WINDOW)
        self._file = run_dir / "metrics.jsonl"
        self.loss = keep_until(self._file, first)

    def step(self, batch: Batch, figures: Mapping[str, float], milliseconds: Mapping[str, float]) -> None:
        """Count the step; write it down and show it if its turn has come."""
        times = {phase: milliseconds.get(phase, 0.0) for phase in PHASES}
        total = max(sum(times.values()), 1e-9)
        rate = 1e3 * batch.samples / total
        self._times.append(times)
        self._rates.append(rate)
        self.steps += 1
        self.loss = figures["loss"]
        position = batch.step + 1
        if position % self.every == 0:
            self._write(
                {
                    "step": position,
                    "epoch": batch.epoch,
                    "samples": batch.samples,
                    **figures,
                    "samples_per_second": rate,
                    "step_ms": times,
                }
            )
        if self.display.due:
            shares = "  ".join(f"{phase} {times[phase] / total:.0%}" for phase in PHASES)
            told = f"loss {figures['loss']:.4f}  lr {figures['lr']:.2e}  {rate:,.0f} samples/s  {shares}"
            self.display.show(position, batch.epoch + 1, told)

    def skipped(self, step: int, cause: str) -> None:
        """Write it down, and say it."""
        self._write({"step": step, "skipped": cause})
        self.display.say(f"skipped: {cause}")

    def evaluation(self, step: int, metrics: Mapping[str, float]) -> None:
        """Write an evaluation down, and show it."""
        self._write({"step": step, "evaluation": dict(metrics)})
        figures = "  ".join(f"{name} {value:.4f}" for name, value in metrics.items())
        self.display.say(f"after step {step}: {figures}")

    def commit(self) -> None:
        """Have the disk hold the lines: a run that goes on from the checkpoint adds to them."""
        with self._file.open("a") as file:
            os.fsync(file.fileno())

    def close(self) -> None:
        """The run is over, or stopped."""
        self.display.close()

    def timing(self) -> dict[str, Any]:
        """Medians over the steps after the first few: samples per second, and milliseconds in each phase."""
        skipped = min(WARM_UP, len(self._rates) // 2)
        rates = list(self._rates)[skipped:] or [0.0]
        times = list(self._times)[skipped:] or [dict.fromkeys(PHASES, 0.0)]
        return {
            "samples_per_second": statistics.median(rates),
            "step_ms": {phase: statistics.median(step[phase] for step in times) for phase in PHASES},
        }

    def _write(self, line: Mapping[str, Any]) -> None:
        try:
            with self._file.open("a") as file:
                file.write(json.dumps(line) + "\n")
        except OSError as error:
            cause = f"{self._file} cannot be written ({error.strerror}); the checkpoints are whole"
            raise JobError(cause, rank=0, step=line["step"], phase="record") from error


def keep_until(path: Path, step: int) -> float | None:
    """Drop from ``metrics.jsonl`` what a run that goes on after ``step`` steps will write; the loss of the last one.

    That is what was written later, an evaluation at this step, and half a line at the end.
    """
    if not path.exists():
        return None
    lines = path.read_text(errors="replace").splitlines(keepends=True)
    kept = [line for line in lines if written_before(line, step)]
    if len(kept) < len(lines):
        replace(path, "".join(kept))
    last = json.loads(kept[-1]) if kept else {"step": 0}
    return last.get("loss") if last["step"] == step > 0 else None


def written_before(line: str, step: int) -> bool:
    """Whether ``line`` is whole and tells of one of the first ``step`` steps, or of an evaluation before their end."""
    try:
        told = json.loads(line)
        return line.endswith("\n") and bool(told["step"] < step or (told["step"] == step and "evaluation" not in told))
    except (ValueError, KeyError, TypeError):
        return False


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """``value`` as JSON in place of what was at ``path``, never half."""
    replace(path, json.dumps(value, indent=2, allow_nan=False) + "\n")
