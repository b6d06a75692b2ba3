"""Pictures of noise."""

from pathlib import Path

import numpy as np

from tests.workloads.small import Small


def digits(folder: Path) -> Path:
    """A table of 60 digits, six of each label."""
    path = folder / "digits.csv"
    pixels = np.random.default_rng(0).integers(0, 256, (60, 784))
    np.savetxt(path, np.column_stack([pixels, np.arange(60) % 10]), fmt="%d", delimiter=",")
    return path


SMALL = {
    "vision/digits_mlp": Small(digits, ["workload.hidden=[16]"]),
}
