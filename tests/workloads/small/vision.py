"""Pictures of noise."""

from functools import partial
from pathlib import Path

import numpy as np

from tests.data import idx_files, picture_folders
from tests.workloads.small import Small


def digits(folder: Path) -> Path:
    """A table of 60 digits, six of each label."""
    path = folder / "digits.csv"
    pixels = np.random.default_rng(0).integers(0, 256, (60, 784))
    np.savetxt(path, np.column_stack([pixels, np.arange(60) % 10]), fmt="%d", delimiter=",")
    return path


NET = ["workload.channels=[4,8]", "workload.hidden=[16]"]
FROZEN = ["workload.side=32", "workload.weights=null"]  # all of the net is run, and its last layer trained

SMALL = {
    "vision/digits_mlp": Small(digits, ["workload.hidden=[16]", "workload.mixup=0.2", "workload.label_smoothing=0.1"]),
    "vision/digits_cnn": Small(digits, NET),
    "vision/fashion_cnn": Small(partial(idx_files.write, training=50), NET),
    "vision/resnet": Small(picture_folders.write, ["workload.side=8", "evaluate.split=val"]),
    "vision/transfer": Small(picture_folders.write, FROZEN),
}
