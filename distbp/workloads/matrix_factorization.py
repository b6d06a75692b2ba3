"""Ratings as a biased product of factors (Koren, Bell and Volinsky 2009), fold by fold.

N ratings in a batch, K factors.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Annotated

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from distbp.bounds import NonNegative, PositiveInt
from distbp.data import order
from distbp.data.ratings import Ratings, read_ratings
from distbp.data.sources import fetch
from distbp.data.split import Split
from distbp.errors import RequestError
from distbp.workloads.announce import announce
from distbp.workloads.base import Workload
from distbp.workloads.table import table

FOLDS = 5
FOLD_SEED = 0  # of the cut into folds: no job's seed moves a rating

Predicted = tuple[Tensor, Tensor]
"""The ratings (N) that a module expects, and the squared length (N) of what it knows of each user and item."""


def matrix_factorization(
    *,
    factors: PositiveInt,
    regularization: NonNegative,
    deviation: NonNegative,
    fold: Annotated[int, Field(ge=0, lt=FOLDS)],
    path: str | None,
    cache: str,
    seed: int,
) -> Workload:
    """A biased factorisation of the ratings of ``path``, or of MovieLens 100K, fetched once.

    ``fold`` is the fifth of the ratings that is for the test. ``regularization`` weighs the squares of what is looked
    up for a rating against its squared error; ``deviation`` is that of the initial factors. ``seed`` is of the weights.
    """
    source = path or fetch("movielens", cache, announce)
    ratings = read_ratings(source)
    if len(ratings.values) < FOLDS:
        raise RequestError("data.path", source, f"{len(ratings.values)} ratings; {FOLDS} folds need one each")
    training, test = (Rated(ratings, samples) for samples in cut(len(ratings.values), fold))
    return Workload(
        module=Factorization(
            len(ratings.user_ids),
            len(ratings.item_ids),
            factors,
            mean=float(training.values.double().mean()),
            deviation=deviation,
            generator=torch.Generator().manual_seed(order.key(seed)),
        ),
        loss=RegularizedSquares(regularization),
        metrics=Errors(float(training.values.min()), float(training.values.max())),
        training=training,
        splits={"train": training, "test": test},
        summary=root,
        names=(ratings.user_ids, ratings.item_ids),
    )


def cut(n: int, fold: int) -> tuple[np.ndarray, np.ndarray]:
    """The ratings for training and those of a fold, each in ascending order.

    Of one fixed permutation of the n ratings fold f is the places ``[f n // 5, (f + 1) n // 5)``.
    """
    permuted = order.permutation(n, seed=FOLD_SEED, epoch=0)
    test = permuted[fold * n // FOLDS : (fold + 1) * n // FOLDS]
    return np.setdiff1d(permuted, test), np.sort(test)


class Rated(Split):
    """Some of the ratings, by number: who rated what, and how."""

    pure = True

    def __init__(self, ratings: Ratings, samples: np.ndarray) -> None:
        self.users = torch.from_numpy(ratings.users[samples])
        self.items = torch.from_numpy(ratings.items[samples])
        self.values = torch.from_numpy(ratings.values[samples])

    def __len__(self) -> int:
        return len(self.values)

    def batch(self, samples: np.ndarray, draws: np.ndarray) -> tuple[tuple[Tensor, ...], Tensor]:  # noqa: ARG002
        """Users and items (N) int64, and the ratings (N) float32, of ``samples`` (N)."""
        chosen = torch.from_numpy(samples)
        users, items, values = (column.index_select(0, chosen) for column in (self.users, self.items, self.values))
        return (users, items), values


class Factorization(nn.Module):
    """``r = mu + b_u + b_i + p_u . q_i`` (Koren et al. 2009, equation 4), mu being the mean of the training ratings."""

    def __init__(
        self, users: int, items: int, factors: int, *, mean: float, deviation: float, generator: torch.Generator
    ) -> None:
        super().__init__()
        rows = partial(table, generator=generator, sparse=True)
        self.user_bias = rows(users, 1, deviation=0.0)
        self.item_bias = rows(items, 1, deviation=0.0)
        self.user_factors = rows(users, factors, deviation=deviation)
        self.item_factors = rows(items, factors, deviation=deviation)
        self.register_buffer("mean", torch.tensor(mean))

    def forward(self, users: Tensor, items: Tensor) -> Predicted:
        """The ratings, and ``b_u^2 + b_i^2 + |p_u|^2 + |q_i|^2``.   (N) int64, (N) int64 -> (N), (N)."""
        b_u, b_i = self.user_bias(users), self.item_bias(items)
        p_u, q_i = self.user_factors(users), self.item_factors(items)
        ratings = self.mean + b_u + b_i + (p_u * q_i).sum(1, keepdim=True)
        lengths = b_u.square() + b_i.square() + (p_u.square() + q_i.square()).sum(1, keepdim=True)
        return ratings.squeeze(1), lengths.squeeze(1)


@dataclass(frozen=True)
class RegularizedSquares:
    """``sum_n (target_n - r_n)^2 + weight (b_u^2 + b_i^2 + |p_u|^2 + |q_i|^2)`` and N (Koren et al. 2009, equation 5).

    A row is held back once for each rating that looks it up, whatever the batch and the optimizer: the papers' sum, and
    not a decay of all rows at each step, which sparse updates do not have.
    """

    weight: float

    def __call__(self, output: Predicted, target: Tensor) -> tuple[Tensor, int]:
        """((N), (N)), (N) -> () and N."""
        ratings, lengths = output
        return (target - ratings).square().sum() + self.weight * lengths.sum(), target.shape[0]


@dataclass(frozen=True)
class Errors:
    """Sums of squared and of absolute errors; what is expected beyond the training ratings is put at their ends."""

    lowest: float
    highest: float

    def __call__(self, output: Predicted, target: Tensor) -> dict[str, Tensor]:
        """((N), (N)), (N) -> {"squares": (), "mae": ()}."""
        errors = output[0].clamp(self.lowest, self.highest) - target
        return {"squares": errors.square().sum(), "mae": errors.abs().sum()}


def root(means: Mapping[str, float], _scores: Tensor) -> dict[str, float]:
    """The root of the mean square beside the other means."""
    return {"loss": means["loss"], "rmse": math.sqrt(means["squares"]), "mae": means["mae"]}
