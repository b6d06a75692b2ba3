"""What a user takes up next: NeuMF, GMF and MLP (He et al. 2017) on implicit feedback, by leave-one-out."""

from pathlib import Path
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from distbp.bounds import Fraction, NonNegative, PositiveInt
from distbp.data import order
from distbp.data.leave_one_out import leave_out
from distbp.data.ratings import Ratings, read_ratings
from distbp.data.sources import fetch
from distbp.data.unseen import Unseen
from distbp.errors import RequestError
from distbp.workloads.announce import announce
from distbp.workloads.base import Workload
from distbp.workloads.collaborative import scorer
from distbp.workloads.interactions import HeldOut, Positives
from distbp.workloads.ranking import hits_and_gains


def neumf(
    *,
    model: Literal["neumf", "gmf", "mlp"],
    factors: PositiveInt,
    layers: Annotated[list[PositiveInt], Field(min_length=1)],
    dropout: Fraction,
    deviation: NonNegative,
    negatives: PositiveInt,
    others: PositiveInt,
    held_out: Annotated[int, Field(ge=1, le=2)],
    path: str | None,
    cache: str,
    seed: int,
) -> Workload:
    """NeuMF, or one of its halves, on the interactions of ``path``, or on MovieLens 100K, fetched once.

    Whatever the rating, a user has taken up an item. The latest item of each user is for the test, that before it for
    validation with ``held_out`` 2 and for training with 1; each is ranked among ``others`` that the user has never
    taken up, drawn once. A training sample is an interaction and ``negatives`` items drawn afresh every epoch from
    those that are none of the user's in training: what is held out may be among them, as nobody can know it.
    """
    if layers[0] % 2:
        raise RequestError("workload.layers", layers, "an even first width: half is the user's, half the item's")
    source = path or fetch("movielens", cache, announce)
    ratings = read_ratings(source)
    training, latest = leave_out(ratings, held_out, source)
    never = all_unseen(ratings, others, source)
    users, items = ratings.users[training], ratings.items[training]
    not_in_training = Unseen(users, items, user_count=len(ratings.user_ids), item_count=len(ratings.item_ids))
    return Workload(
        module=scorer(
            model,
            users=len(ratings.user_ids),
            items=len(ratings.item_ids),
            factors=factors,
            layers=layers,
            dropout=dropout,
            deviation=deviation,
            generator=torch.Generator().manual_seed(order.key(seed)),
        ),
        loss=cross_entropy,
        metrics=hits_and_gains,
        training=Positives(users, items, not_in_training, negatives),
        splits={
            name: HeldOut(item, never, others, number=number)
            for number, (name, item) in enumerate(zip(("test", "valid"), latest.T, strict=False))
        },
        names=(ratings.user_ids, ratings.item_ids),
    )


def all_unseen(ratings: Ratings, least: int, path: str | Path) -> Unseen:
    """What each user has never taken up, at least so many items."""
    unseen = Unseen(ratings.users, ratings.items, user_count=len(ratings.user_ids), item_count=len(ratings.item_ids))
    user = int(unseen.counts.argmin())
    if unseen.counts[user] < least:
        name, count = ratings.user_ids[user], unseen.counts[user]
        raise RequestError("data.path", path, f"user {name!a} has not seen {count} items; others={least} are needed")
    return unseen


def cross_entropy(output: Tensor, target: Tensor) -> tuple[Tensor, int]:
    """The binary cross-entropy, a mean over the candidates, summed over the samples, and N.   (N, C), (N, C) -> ()."""
    total = F.binary_cross_entropy_with_logits(output, target, reduction="sum")
    return total / output.shape[1], output.shape[0]
