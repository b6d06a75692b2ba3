"""Whether somebody clicks, or earns: DLRM (Naumov et al. 2019) on numbers and categories."""

from collections.abc import Mapping
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from distbp.bounds import PositiveInt
from distbp.data import criteo, order
from distbp.data.adult import NUMBERS, read_adult
from distbp.data.clicks import cut, open_clicks
from distbp.data.sources import fetch
from distbp.data.split import Split
from distbp.data.stratified import stratified
from distbp.workloads.announce import announce
from distbp.workloads.area import area
from distbp.workloads.base import Workload
from distbp.workloads.columns import OnDisk, people
from distbp.workloads.interaction import DLRM

Widths = Annotated[list[PositiveInt], Field(min_length=1)]


def dlrm(
    *,
    bottom: Widths,
    top: Widths,
    buckets: Annotated[int, Field(ge=2)],
    path: str | None,
    cache: str,
    seed: int,
) -> Workload:
    """DLRM on the clicks of ``path``, in Criteo's format, or on the Adult table, fetched once.

    The last width of ``bottom`` is that of all vectors; ``top`` ends in one more layer, the logit. Of Adult four fifths
    of each class are for training; of clicks the first nine tenths, their categories hashed to tables of ``buckets``
    rows. ``seed`` is of the weights.
    """
    training: Split
    test: Split
    if path is None:
        table = read_adult(fetch("adult", cache, announce))
        training, test, heights = people(table, *stratified(table.labels))
        numbers = len(NUMBERS)
    else:
        clicks = open_clicks(path, cache)
        half = cut(len(clicks))
        training, test = OnDisk(clicks, range(half), buckets), OnDisk(clicks, range(half, len(clicks)), buckets)
        numbers, heights = criteo.NUMBERS, [buckets] * criteo.CATEGORIES
    generator = torch.Generator().manual_seed(order.key(seed))
    return Workload(
        module=DLRM(heights, numbers=numbers, bottom=bottom, top=top, generator=generator),
        loss=cross_entropy,
        metrics=accuracy,
        training=training,
        splits={"train": training, "test": test},
        scores=with_label,
        summary=with_area,
    )


def cross_entropy(output: Tensor, target: Tensor) -> tuple[Tensor, int]:
    """``-sum_n log p(target_n)`` and N.   (N) logits, (N) of 0 and 1 -> ()."""
    return F.binary_cross_entropy_with_logits(output, target, reduction="sum"), target.shape[0]


def accuracy(output: Tensor, target: Tensor) -> dict[str, Tensor]:
    """How many of the examples are on the right side of one half.   (N), (N) -> {"accuracy": ()}."""
    return {"accuracy": ((output > 0) == (target > 0)).sum()}


def with_label(output: Tensor, target: Tensor) -> Tensor:
    """The logit and the label of each example.   (N), (N) -> (N, 2)."""
    return torch.stack([output, target], dim=1)


def with_area(means: Mapping[str, float], scores: Tensor) -> dict[str, float]:
    """The area under the curve beside the means, of which the loss is the log loss."""
    return {"loss": means["loss"], "auc": area(*scores.T), "logloss": means["loss"], "accuracy": means["accuracy"]}
