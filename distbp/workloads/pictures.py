"""Grey pictures with their classes: a split of them, standardised and augmented; the loss and the metric."""

from typing import ClassVar, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from distbp.data.formats import Digits
from distbp.data.split import Split


class Scale(NamedTuple):
    """The mean and the standard deviation of a set's pixels, on a scale of 0 to 1."""

    mean: float
    deviation: float


class Augmentation(Protocol):
    """What changes pictures at random, each by ``draws`` uniform numbers of its own."""

    draws: ClassVar[int]

    def __call__(self, pictures: Tensor, draws: np.ndarray) -> Tensor:
        """The pictures, changed.   (N, 1, H, W) float32, (N, draws) in [0, 1) -> (N, 1, H, W) float32."""


class Pictures(Split):
    """Pictures by number, standardised by ``scale``; changed at random by ``augmentation`` where one is given."""

    pure = True

    def __init__(self, digits: Digits, scale: Scale, augmentation: Augmentation | None = None) -> None:
        self.pixels = torch.from_numpy(digits.pixels).unsqueeze(1)  # (n, 1, 28, 28)
        self.labels = torch.from_numpy(digits.labels.astype(np.int64))
        self.scale = scale
        self.augmentation = augmentation
        self.draws = augmentation.draws if augmentation else 0

    def __len__(self) -> int:
        return len(self.labels)

    def batch(self, samples: np.ndarray, draws: np.ndarray) -> tuple[tuple[Tensor, ...], Tensor]:
        """The pictures (N, 1, 28, 28) float32 and the labels (N) int64 of ``samples`` (N)."""
        chosen = torch.from_numpy(samples)
        pictures = self.pixels[chosen].float().div_(255)
        if self.augmentation:
            pictures = self.augmentation(pictures, draws)
        return (pictures.sub_(self.scale.mean).div_(self.scale.deviation),), self.labels[chosen]


def cross_entropy(output: Tensor, target: Tensor) -> tuple[Tensor, int]:
    """``-sum_n log softmax(output_n)[target_n]`` and N.   (N, C), (N) -> ()."""
    return F.cross_entropy(output, target, reduction="sum"), target.shape[0]


def accuracy(output: Tensor, target: Tensor) -> dict[str, Tensor]:
    """How many of the examples are recognised.   (N, C), (N) -> {"accuracy": ()}."""
    return {"accuracy": (output.argmax(dim=1) == target).sum()}


def top_five(output: Tensor, target: Tensor) -> dict[str, Tensor]:
    """How many are recognised, and how many have their class among the five best (of fewer than five, among all)."""
    best = output.topk(min(5, output.shape[1]), dim=1).indices
    return {**accuracy(output, target), "top5": (best == target[:, None]).any(dim=1).sum()}
