"""Clothing: Fashion-MNIST's pictures and the convolutional net that sorts them."""

from typing import Annotated

from pydantic import Field

from distbp.bounds import Fraction, NonNegativeInt, PositiveInt
from distbp.data.fashion_mnist import FILES, name_of
from distbp.data.formats import CLASSES, Digits
from distbp.data.idx import SIDE, read_idx, read_pair
from distbp.data.sources import fetch
from distbp.data.stratified import stratified
from distbp.workloads.announce import announce
from distbp.workloads.base import Workload
from distbp.workloads.convolution import normalized
from distbp.workloads.crop import FlippedCrop
from distbp.workloads.digits import chosen
from distbp.workloads.pictures import Pictures, Scale, accuracy, cross_entropy
from distbp.workloads.soft_labels import Alpha, softened

SCALE = Scale(0.2860, 0.3530)  # of Fashion-MNIST
MIN_PART = 2  # batch norm has no variance of one


def fashion_cnn(
    *,
    channels: Annotated[list[PositiveInt], Field(min_length=1, max_length=4)],
    hidden: list[PositiveInt],
    dropout: Fraction,
    padding: NonNegativeInt,
    held_out: bool,
    label_smoothing: Fraction = 0.0,
    mixup: Alpha = 0.0,
    path: str | None,
    cache: str,
    seed: int,
) -> Workload:
    """Convolutions with batch norm on the four IDX files of the folder ``path``, or on Fashion-MNIST, fetched once.

    Training pictures are moved by up to ``padding`` pixels and mirrored, afresh every epoch. With ``held_out`` a fifth
    of each class is kept from training, and is the split ``validation``: recipes are chosen there.
    """
    training, test = splits(path, cache)
    splits_by_name = {"train": training, "test": test}
    if held_out:
        kept, validation = stratified(training.labels)
        splits_by_name = {"train": chosen(training, kept), "validation": chosen(training, validation), "test": test}
    made = Workload(
        module=normalized(SIDE, channels, hidden, CLASSES, dropout=dropout, seed=seed),
        loss=cross_entropy,
        metrics=accuracy,
        training=Pictures(splits_by_name["train"], SCALE, FlippedCrop(padding)),
        splits={name: Pictures(pictures, SCALE) for name, pictures in splits_by_name.items()},
        min_part=MIN_PART,
    )
    return softened(made, label_smoothing=label_smoothing, mixup=mixup)


def splits(path: str | None, cache: str) -> tuple[Digits, Digits]:
    """The pictures for training and those for testing."""
    if path:
        return read_idx(path)
    files = {file: fetch(name_of(file), cache, announce) for file in FILES}
    train, train_labels, test, test_labels = files.values()
    return read_pair(train, train_labels), read_pair(test, test_labels)
