"""What a run leaves behind and shows: metrics.jsonl, result.json, and its progress on the console.

Rank 0 records; the other ranks have a record that is silent.
"""

import json
import statistics
from abc import ABC, abstractmethod
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from distbp.data.batches import Batch
from distbp.display import Display
from distbp.durable import replace
from distbp.lines import Lines
from distbp.metrics_file import line_of, number
from distbp.training.ailments import Ailments
from distbp.training.jumps import Jump
from distbp.training.layers import Norms

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

    def layers(self, step: int, layers: Mapping[str, Norms]) -> None:  # noqa: B027 - most look at none
        """A look at the layers in the last of ``step`` steps, by parameter in the order of the module."""

    def jump(self, step: int, jump: Jump, gradients: Mapping[str, float]) -> None:  # noqa: B027 - most say nothing
        """The loss of the last of ``step`` steps has jumped; the norms of its mean gradient by parameter."""

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
    """The record of a run: a line to all of ``files`` every ``every`` steps and for all else, and the display.

    ``loss`` is that of the last step; before the first one of this start, what it is given.
    """

    def __init__(
        self, files: Sequence[Lines], display: Display, ailments: Ailments, *, every: int, loss: float | None
    ) -> None:
        self.display = display
        self.every = every
        self.loss = loss
        self.steps = 0
        self._times: deque[dict[str, float]] = deque(maxlen=WINDOW)
        self._rates: deque[float] = deque(maxlen=WINDOW)
        self._files = files
        self._ailments = ailments
        self._since: Counter[str] = Counter()  # samples, and milliseconds by phase, since the display was due

    def step(self, batch: Batch, figures: Mapping[str, float], milliseconds: Mapping[str, float]) -> None:
        """Count the step; write it down and show it if its turn has come."""
        times = {phase: milliseconds.get(phase, 0.0) for phase in PHASES}
        rate = per_second(batch.samples, times)
        self._times.append(times)
        self._rates.append(rate)
        self._since.update(times, samples=batch.samples)
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
            self.display.show(position, batch.epoch + 1, shown(figures, self._since))
            self._since.clear()

    def skipped(self, step: int, cause: str) -> None:
        """Write it down, and say it."""
        self._write({"step": step, "skipped": cause})
        self.display.say(f"skipped: {cause}")

    def evaluation(self, step: int, metrics: Mapping[str, float]) -> None:
        """Write an evaluation down, and show it."""
        self._write({"step": step, "evaluation": {name: number(value) for name, value in metrics.items()}})
        figures = "  ".join(f"{name} {value:.4f}" for name, value in metrics.items())
        self.display.say(f"after step {step}: {figures}")

    def layers(self, step: int, layers: Mapping[str, Norms]) -> None:
        """Write a look down, and say which layers have come to be not well."""
        self._write(line_of(step, layers))
        for line in self._ailments.look(layers):
            self._warn(step, line)

    def jump(self, step: int, jump: Jump, gradients: Mapping[str, float]) -> None:
        """Say it, with the layer to blame."""
        told = f"the loss jumped to {jump.loss:.4g}, from a mean of {jump.mean:.4g}"
        self._warn(step, f"{told}; {self._ailments.blame(gradients)}")

    def commit(self) -> None:
        """Have the disk hold the lines: a run that goes on from the checkpoint adds to them."""
        for file in self._files:
            file.sync()

    def close(self) -> None:
        """The run is over, or stopped."""
        self.display.close()
        for file in self._files:
            file.close()

    def timing(self) -> dict[str, Any]:
        """Medians over the steps after the first few: samples per second, and milliseconds in each phase."""
        skipped = min(WARM_UP, len(self._rates) // 2)
        rates = list(self._rates)[skipped:] or [0.0]
        times = list(self._times)[skipped:] or [dict.fromkeys(PHASES, 0.0)]
        return {
            "samples_per_second": statistics.median(rates),
            "step_ms": {phase: statistics.median(step[phase] for step in times) for phase in PHASES},
        }

    def _warn(self, step: int, warning: str) -> None:
        self._write({"step": step, "warning": warning})
        self.display.say(f"step {step}: {warning}")

    def _write(self, line: Mapping[str, Any]) -> None:
        for file in self._files:
            file.write(line)


def per_second(samples: float, times: Mapping[str, float]) -> float:
    """Samples per second, of the milliseconds of all phases."""
    return 1e3 * samples / max(sum(times[phase] for phase in PHASES), 1e-9)


def shown(figures: Mapping[str, float], since: Mapping[str, float]) -> str:
    """What the display tells besides the step: the pace and the share of each phase are those since it last did."""
    total = max(sum(since[phase] for phase in PHASES), 1e-9)
    shares = "  ".join(f"{phase} {since[phase] / total:.0%}" for phase in PHASES)
    rate = per_second(since["samples"], since)
    return f"loss {figures['loss']:.4f}  lr {figures['lr']:.2e}  {rate:,.0f} samples/s  {shares}"


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """``value`` as JSON in place of what was at ``path``, never half."""
    replace(path, json.dumps(value, indent=2, allow_nan=False) + "\n")
