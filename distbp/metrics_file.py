"""The file metrics.jsonl of a run: one JSON object a line, none double and none half, however often the run goes on."""

import json
import math
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from distbp.durable import replace
from distbp.errors import JobError
from distbp.lines import Lines
from distbp.training.layers import Norms

METRICS = "metrics.jsonl"


class MetricsFile(Lines):
    """``metrics.jsonl`` in ``run_dir``, of which the first ``first`` steps are kept: what comes later is written anew.

    ``loss`` is that of the last of them, if the file tells it; ``layers`` are the looks that it tells of.
    """

    def __init__(self, run_dir: Path, *, first: int) -> None:
        self.path = run_dir / METRICS
        kept = keep_until(self.path, first)
        self.loss = next((line["loss"] for line in reversed(kept) if line["step"] == first and "loss" in line), None)
        self.layers = [*looks(kept)]

    def write(self, line: Mapping[str, Any]) -> None:
        """Add a line. JobError where the disk is full or fails."""
        try:
            with self.path.open("a") as file:
                file.write(json.dumps(line) + "\n")
        except OSError as error:
            cause = f"{self.path} cannot be written ({error.strerror}); the checkpoints are whole"
            raise JobError(cause, rank=0, step=line["step"], phase="record") from error

    def sync(self) -> None:
        """Have the disk hold the lines: a run that goes on from the checkpoint adds to them."""
        with self.path.open("a") as file:
            os.fsync(file.fileno())


def keep_until(path: Path, step: int) -> list[dict[str, Any]]:
    """Drop from ``metrics.jsonl`` what a run that goes on after ``step`` steps will write; what the other lines tell.

    That is what was written later, an evaluation at this step, and half a line at the end.
    """
    if not path.exists():
        return []
    lines = path.read_text(errors="replace").splitlines(keepends=True)
    kept = [line for line in lines if written_before(line, step)]
    if len(kept) < len(lines):
        replace(path, "".join(kept))
    return [json.loads(line) for line in kept]


def written_before(line: str, step: int) -> bool:
    """Whether ``line`` is whole and tells of one of the first ``step`` steps, or of an evaluation before their end."""
    try:
        told = json.loads(line)
        return line.endswith("\n") and bool(told["step"] < step or (told["step"] == step and "evaluation" not in told))
    except (ValueError, KeyError, TypeError):
        return False


def line_of(step: int, layers: Mapping[str, Norms]) -> dict[str, Any]:
    """A look at the layers as a line tells it; JSON has no number for what is not finite."""
    told = {name: {key: number(value) for key, value in norms._asdict().items()} for name, norms in layers.items()}
    return {"step": step, "layers": told}


def looks(lines: Iterable[Mapping[str, Any]]) -> Iterator[dict[str, Norms]]:
    """The looks that some lines tell of; one that somebody has altered is none."""
    for line in lines:
        with suppress(TypeError, AttributeError, KeyError, ValueError):
            if told := {name: norms_of(norms) for name, norms in line.get("layers", {}).items()}:
                yield told


def norms_of(told: Mapping[str, float | None]) -> Norms:
    """The norms of a layer that a line tells."""
    values = (told[key] for key in Norms._fields)
    return Norms(*(math.inf if value is None else float(value) for value in values))


def number(value: float) -> float | None:
    """The value, or None where it is not finite."""
    return value if math.isfinite(value) else None
