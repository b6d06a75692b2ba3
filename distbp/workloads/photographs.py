"""Pictures of a folder of class folders as a split: read, cut, standardised and augmented as they are asked for."""

from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np
import torch
from torch import Tensor

from distbp.data.bad_file import BadFileError
from distbp.data.class_folders import ClassFolder, plain
from distbp.data.picture import Colours, decoded
from distbp.data.readers import Readers
from distbp.data.split import Split
from distbp.workloads.crop import FlippedCrop
from distbp.workloads.parts_of_pictures import Drawn, Look, Middle, Whole
from distbp.workloads.pictures import Augmentation


class Photographs(Split):
    """Squares of ``side`` pixels of the parts that ``look`` chooses, one channel for each of ``mean``.

    On a scale of 0 to 1 each channel is changed by ``augmentation``, where one is given, and then standardised.
    """

    pure = True

    def __init__(
        self,
        folder: ClassFolder,
        readers: Readers,
        *,
        side: int,
        mean: Sequence[float],
        deviation: Sequence[float],
        look: Look,
        augmentation: Augmentation | None = None,
    ) -> None:
        self.folder, self.readers = folder, readers
        self.labels = torch.from_numpy(folder.labels)
        self.side = side
        self.colours: Colours = "L" if len(mean) == 1 else "RGB"
        self.mean, self.deviation = (torch.tensor(channel).view(-1, 1, 1) for channel in (mean, deviation))
        self.look, self.augmentation = look, augmentation
        self.draws = look.draws + (augmentation.draws if augmentation else 0)

    def __len__(self) -> int:
        return len(self.labels)

    def batch(self, samples: np.ndarray, draws: np.ndarray) -> tuple[tuple[Tensor, ...], Tensor]:
        """The pictures (N, C, side, side) float32 and the labels (N) int64 of ``samples`` (N)."""
        squares = self.readers.each(self._square, list(zip(samples.tolist(), draws, strict=True)))
        pictures = torch.from_numpy(np.stack(squares)).permute(0, 3, 1, 2).contiguous().float().div_(255)
        if self.augmentation:
            pictures = self.augmentation(pictures, draws[:, self.look.draws :])
        return (pictures.sub_(self.mean).div_(self.deviation),), self.labels[torch.from_numpy(samples)]

    def _square(self, drawn: tuple[int, np.ndarray]) -> np.ndarray:
        sample, draws = drawn
        path = self.folder.path(sample)
        try:
            return decoded(path, self.side, self.colours, partial(self.look, draws=draws[: self.look.draws]))
        except BadFileError as error:
            raise BadFileError(f"{plain(str(path))}: {error}; it has changed since it was checked") from None


def photographs(
    folders: Mapping[str, ClassFolder],
    readers: Readers,
    *,
    side: int,
    mean: Sequence[float],
    deviation: Sequence[float],
    padding: int | None,
) -> tuple[Photographs, dict[str, Photographs]]:
    """The pictures of ``folders["train"]`` to train on, and those of each folder to evaluate.

    Those for training are moved by up to ``padding`` pixels; without it a part of each is drawn, and the middle is
    evaluated. Half are mirrored.
    """
    drawn, seen = (Drawn(), Middle()) if padding is None else (Whole(), Whole())
    split = partial(Photographs, readers=readers, side=side, mean=mean, deviation=deviation)
    training = split(folders["train"], look=drawn, augmentation=FlippedCrop(padding or 0))
    return training, {name: split(folder, look=seen) for name, folder in folders.items()}
