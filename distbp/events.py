"""The lines of a run as events that TensorBoard shows, in ``run_dir/tensorboard``."""

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from distbp.errors import RequestError
from distbp.lines import Lines

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

FOLDER = "tensorboard"
SECONDS = 5  # until what has been written can be seen
SCALARS = ("loss", "lr", "gradient_norm", "compression_error", "samples_per_second")  # of the line of a step


class Events(Lines):
    """Events of a run that goes on after ``first`` steps, ``train`` and ``evaluation`` apart, as in metrics.jsonl.

    TensorBoard drops what an earlier start has told of later steps, and of an evaluation at this one, which is made
    anew. RequestError where the package is not there.
    """

    def __init__(self, run_dir: Path, *, first: int) -> None:
        writer = summary_writer()
        self._train = writer(run_dir / FOLDER / "train", purge_step=first + 1, flush_secs=SECONDS)
        self._evaluation = writer(run_dir / FOLDER / "evaluation", purge_step=first, flush_secs=SECONDS)

    def write(self, line: Mapping[str, Any]) -> None:
        """A scalar for each figure of the line."""
        for tag, value in scalars(line):
            self._train.add_scalar(tag, value, line["step"])
        for tag, value in line.get("evaluation", {}).items():
            self._evaluation.add_scalar(tag, math.nan if value is None else value, line["step"])

    def sync(self) -> None:
        """Have the files hold what has been written."""
        self._train.flush()
        self._evaluation.flush()

    def close(self) -> None:
        """End the files, and the threads that write them."""
        self._train.close()
        self._evaluation.close()


def scalars(line: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """The figures of a step's line, or of a look at the layers, by tag."""
    yield from ((key, line[key]) for key in SCALARS if key in line)
    for name, norms in line.get("layers", {}).items():
        known = {key: math.inf if value is None else value for key, value in norms.items()}
        yield f"gradient/{name}", known["gradient"]
        yield f"update_to_weight/{name}", known["update"] / known["weight"] if known["weight"] else 0.0


def summary_writer() -> "type[SummaryWriter]":
    """torch's writer of events. RequestError where it is missing, in one line."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        what = f"the package tensorboard is needed ({error}): pip install 'distbp[tensorboard]'"
        raise RequestError("log.tensorboard", "true", what) from error
    return SummaryWriter
