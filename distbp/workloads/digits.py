"""Handwritten digits: the pictures, their fixed splits, and the perceptron that reads them."""

import sys
from typing import Annotated

import numpy as np
import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from distbp.bounds import Fraction, NonNegative, PositiveInt
from distbp.data.formats import CLASSES, PIXELS, Digits, read_digits
from distbp.data.sources import fetch
from distbp.data.split import Split
from distbp.data.stratified import stratified
from distbp.workloads.affine import Affine
from distbp.workloads.base import Workload
from distbp.workloads.perceptron import perceptron

MEAN, DEVIATION = 0.1307, 0.3081  # of MNIST's pixels, on a scale of 0 to 1


class Pictures(Split):
    """Digits by number, standardised; distorted by ``affine`` where one is given."""

    def __init__(self, digits: Digits, affine: Affine | None = None) -> None:
        self.pixels = torch.from_numpy(digits.pixels).unsqueeze(1)  # (n, 1, 28, 28)
        self.labels = torch.from_numpy(digits.labels.astype(np.int64))
        self.affine = affine
        self.draws = affine.draws if affine else 0

    def __len__(self) -> int:
        return len(self.labels)

    def batch(self, samples: np.ndarray, draws: np.ndarray) -> tuple[tuple[Tensor, ...], Tensor]:
        """The pictures (N, 1, 28, 28) float32 and the labels (N) int64 of ``samples`` (N)."""
        chosen = torch.from_numpy(samples)
        pictures = self.pixels[chosen].float().div_(255)
        if self.affine:
            pictures = self.affine(pictures, draws)
        return (pictures.sub_(MEAN).div_(DEVIATION),), self.labels[chosen]


def digits_mlp(
    *,
    hidden: list[PositiveInt],
    dropout: Fraction,
    rotation: Annotated[float, Field(ge=0, lt=180, allow_inf_nan=False)],
    scale: Fraction,
    shear: NonNegative,
    shift: NonNegative,
    path: str | None,
    cache: str,
    seed: int,
) -> Workload:
    """A perceptron with layers of ``hidden`` units on the digits of ``path``, or on 5,000 of MNIST, fetched once.

    Four fifths of each class are for training, distorted afresh every epoch (``rotation`` in degrees, ``scale`` and
    ``shear`` as shares, ``shift`` in pixels; all 0: not at all), one fifth for the test. ``seed`` is of the weights.
    """
    training, test = splits(read_digits(path or fetch("digits", cache, announce)))
    affine = Affine(rotation, scale, shear, shift) if rotation or scale or shear or shift else None
    return Workload(
        module=perceptron([PIXELS, *hidden, CLASSES], dropout=dropout, seed=seed),
        loss=cross_entropy,
        metrics=accuracy,
        training=Pictures(training, affine),
        splits={"train": Pictures(training), "test": Pictures(test)},
    )


def splits(digits: Digits) -> tuple[Digits, Digits]:
    """The digits for training and those for testing."""
    training, test = stratified(digits.labels)
    return Digits(digits.pixels[training], digits.labels[training]), Digits(digits.pixels[test], digits.labels[test])


def cross_entropy(output: Tensor, target: Tensor) -> tuple[Tensor, int]:
    """``-sum_n log softmax(output_n)[target_n]`` and N.   (N, 10), (N) -> ()."""
    return F.cross_entropy(output, target, reduction="sum"), target.shape[0]


def accuracy(output: Tensor, target: Tensor) -> dict[str, Tensor]:
    """How many of the examples are recognised.   (N, 10), (N) -> {"accuracy": ()}."""
    return {"accuracy": (output.argmax(dim=1) == target).sum()}


def announce(line: str) -> None:
    """Say on the error stream what takes time, so that the output of a verb stays its own."""
    print(line, file=sys.stderr, flush=True)
