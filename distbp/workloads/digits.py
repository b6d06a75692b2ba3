"""Handwritten digits: their fixed splits, and the two nets that read them."""

from typing import Annotated

import numpy as np
from pydantic import Field
from torch import nn

from distbp.bounds import Fraction, NonNegative, PositiveInt
from distbp.data.formats import CLASSES, PIXELS, Digits, read_digits
from distbp.data.idx import SIDE, is_folder, read_idx
from distbp.data.sources import fetch
from distbp.data.stratified import stratified
from distbp.workloads.affine import Affine
from distbp.workloads.announce import announce
from distbp.workloads.base import Workload
from distbp.workloads.convolution import lenet
from distbp.workloads.perceptron import perceptron
from distbp.workloads.pictures import Pictures, Scale, accuracy, cross_entropy
from distbp.workloads.soft_labels import Alpha, softened

SCALE = Scale(0.1307, 0.3081)  # of MNIST

NOTHING = Affine(0.0, 0.0, 0.0, 0.0)
Degrees = Annotated[float, Field(ge=0, lt=180, allow_inf_nan=False)]


def digits_mlp(
    *,
    hidden: list[PositiveInt],
    dropout: Fraction,
    rotation: Degrees,
    scale: Fraction,
    shear: NonNegative,
    shift: NonNegative,
    label_smoothing: Fraction = 0.0,
    mixup: Alpha = 0.0,
    path: str | None,
    cache: str,
    seed: int,
) -> Workload:
    """A perceptron with layers of ``hidden`` units on the digits of ``path``, or on 5,000 of MNIST, fetched once.

    Those for training are distorted afresh every epoch (``rotation`` in degrees, ``scale`` and ``shear`` as shares,
    ``shift`` in pixels; all 0: not at all). ``seed`` is of the weights.
    """
    module = perceptron([PIXELS, *hidden, CLASSES], dropout=dropout, seed=seed)
    made = workload(module, splits(path, cache), Affine(rotation, scale, shear, shift))
    return softened(made, label_smoothing=label_smoothing, mixup=mixup)


def digits_cnn(
    *,
    channels: Annotated[list[PositiveInt], Field(min_length=1, max_length=4)],
    hidden: list[PositiveInt],
    dropout: Fraction,
    rotation: Degrees,
    scale: Fraction,
    shear: NonNegative,
    shift: NonNegative,
    label_smoothing: Fraction = 0.0,
    mixup: Alpha = 0.0,
    path: str | None,
    cache: str,
    seed: int,
) -> Workload:
    """LeNet with ``channels`` for each of its convolutions on the same digits, with the same splits and distortion."""
    module = lenet(SIDE, channels, hidden, CLASSES, dropout=dropout, seed=seed)
    made = workload(module, splits(path, cache), Affine(rotation, scale, shear, shift))
    return softened(made, label_smoothing=label_smoothing, mixup=mixup)


def workload(module: nn.Module, digits: tuple[Digits, Digits], affine: Affine) -> Workload:
    """The digits for training, distorted if ``affine`` does anything, and for testing, for a module to recognise."""
    training, test = digits
    return Workload(
        module=module,
        loss=cross_entropy,
        metrics=accuracy,
        training=Pictures(training, SCALE, affine if affine != NOTHING else None),
        splits={"train": Pictures(training, SCALE), "test": Pictures(test, SCALE)},
    )


def splits(path: str | None, cache: str) -> tuple[Digits, Digits]:
    """The digits for training and those for testing.

    A folder of IDX files says which are which; of a table a fifth of each class is for the test.
    """
    if path and is_folder(path):
        return read_idx(path)
    digits = read_digits(path or fetch("digits", cache, announce))
    training, test = stratified(digits.labels)
    return chosen(digits, training), chosen(digits, test)


def chosen(digits: Digits, samples: np.ndarray) -> Digits:
    """The digits of these numbers."""
    return Digits(digits.pixels[samples], digits.labels[samples])
