"""What a run leaves behind and shows: metrics.jsonl, result.json, and its progress on the console.

Rank 0 records; the other ranks have a record that is silent.
"""

import json
import statistics
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from distbp.data.batches import Batch
from distbp.display import Display

PHASES = ("data", "compute", "reduce", "update")
WARM_UP = 5  # steps that do not count for the medians
WINDOW = 10_000  # steps of which the medians are taken


class Record(ABC):
    """What a trainer reports to."""

    @abstractmethod
    def step(
        self, batch: Batch, *, loss: float, lr: float, compression_error: float, milliseconds: Mapping[str, float]
    ) -> None:
        """A step is done; ``milliseconds`` are those of its phases on this worker.

        ``compression_error`` is the norm of what the sum of its gradients left out, relative to that of what was due.
        """

    @abstractmethod
    def evaluation(self, step: int, metrics: Mapping[str, float]) -> None:
        """An evaluation after ``step`` steps is done."""


class Silence(Record):
    """The record of the ranks that do not record."""

    def step(
        self, batch: Batch, *, loss: float, lr: float, compression_error: float, milliseconds: Mapping[str, float]
    ) -> None:
        """Nothing."""

    def evaluation(self, step: int, metrics: Mapping[str, float]) -> None:
        """Nothing."""


class RunRecord(Record):
    """The record of a run: a line of JSON every ``every`` steps and for each evaluation, and the display."""

    def __init__(self, run_dir: Path, display: Display, *, first: int, every: int) -> None:
        self.display = display
        self.every = every
        self.steps = 0
        self.loss: float | None = None
        self._times: deque[dict[str, float]] = deque(maxlen=WINDOW)
        self._rates: deque[float] = deque(maxlen=WINDOW)
        self._file = run_dir / "metrics.jsonl"
        keep_until(self._file, first)

    def step(
        self, batch: Batch, *, loss: float, lr: float, compression_error: float, milliseconds: Mapping[str, float]
    ) -> None:
        """Count the step; write it down and show it if its turn has come."""
        times = {phase: milliseconds.get(phase, 0.0) for phase in PHASES}
        total = max(sum(times.values()), 1e-9)
        rate = 1e3 * batch.samples / total
        self._times.append(times)
        self._rates.append(rate)
        self.steps += 1
        self.loss = loss
        position = batch.step + 1
        if position % self.every == 0:
            self._write(
                {
                    "step": position,
                    "epoch": batch.epoch,
                    "samples": batch.samples,
                    "loss": loss,
                    "lr": lr,
                    "compression_error": compression_error,
                    "samples_per_second": rate,
                    "step_ms": times,
                }
            )
        if self.display.due:
            shares = "  ".join(f"{phase} {times[phase] / total:.0%}" for phase in PHASES)
            figures = f"loss {loss:.4f}  lr {lr:.2e}  {rate:,.0f} samples/s  {shares}"
            self.display.show(position, batch.epoch + 1, figures)

    def evaluation(self, step: int, metrics: Mapping[str, float]) -> None:
        """Write an evaluation down, and show it."""
        self._write({"step": step, "evaluation": dict(metrics)})
        figures = "  ".join(f"{name} {value:.4f}" for name, value in metrics.items())
        self.display.say(f"after step {step}: {figures}")

    def close(self) -> None:
        """The run is over."""
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
        with self._file.open("a") as file:
            file.write(json.dumps(line) + "\n")


def keep_until(path: Path, step: int) -> None:
    """Drop from ``metrics.jsonl`` what was written after ``step`` steps, and half a line at the end."""
    if path.exists():
        kept = [line for line in path.read_text().splitlines() if written_by(line, step)]
        path.write_text("".join(line + "\n" for line in kept))


def written_by(line: str, step: int) -> bool:
    """Whether ``line`` is whole and tells of one of the first ``step`` steps."""
    try:
        return bool(json.loads(line)["step"] <= step)
    except (ValueError, KeyError, TypeError):
        return False


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """``value`` as JSON in place of what was at ``path``, never half."""
    temporary = path.with_name(f".{path.name}.new")
    temporary.write_text(json.dumps(value, indent=2, allow_nan=False) + "\n")
    temporary.replace(path)
