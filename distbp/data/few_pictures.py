"""A few pictures of each class of a folder: those that come first by name, whoever asks and with whatever seed."""

import numpy as np

from distbp.data.class_folders import ClassFolder, plain
from distbp.errors import RequestError


def few(folder: ClassFolder, count: int | None, spared: int) -> tuple[ClassFolder, ClassFolder]:
    """The first ``count`` pictures of each class (None: all) but the last ``spared`` of the class, and those.

    RequestError where a class has no picture left.
    """
    taken = [np.flatnonzero(folder.labels == label) for label in range(len(folder.classes))]
    for name, samples in zip(folder.classes, taken, strict=True):
        if len(samples) <= spared:
            allowed = f"fewer than the {len(samples)} pictures of the class {plain(name)} are allowed"
            raise RequestError("workload.held_out", spared, allowed)
    first = [samples[: len(samples) - spared][:count] for samples in taken]
    last = [samples[len(samples) - spared :] for samples in taken]
    return chosen(folder, np.concatenate(first)), chosen(folder, np.concatenate(last))


def chosen(folder: ClassFolder, samples: np.ndarray) -> ClassFolder:
    """Some pictures of a folder."""
    files = [folder.files[sample] for sample in samples]
    return folder._replace(files=files, labels=folder.labels[samples])
