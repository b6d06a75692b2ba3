"""Interactions as splits: each for training beside items that are none, those held out among many that are none.

N samples, C candidates each, of which the first is right.
"""

import numpy as np
import torch
from torch import Tensor

from distbp.data import order
from distbp.data.split import Split
from distbp.data.unseen import Unseen

CANDIDATES_SEED = 0  # of the items beside one that is held out: no job's seed changes them


class Positives(Split):
    """Interactions, each with ``negatives`` items that its user has not seen, drawn afresh every epoch."""

    pure = True

    def __init__(self, users: np.ndarray, items: np.ndarray, unseen: Unseen, negatives: int) -> None:
        self.users, self.items, self.unseen, self.draws = users, items, unseen, negatives

    def __len__(self) -> int:
        return len(self.users)

    def batch(self, samples: np.ndarray, draws: np.ndarray) -> tuple[tuple[Tensor, ...], Tensor]:
        """Users (N) and candidates (N, 1 + negatives) int64, and which are right (N, 1 + negatives) float32."""
        users = self.users[samples]
        return first_is_right(users, self.items[samples], self.unseen.drawn(users, draws))


class HeldOut(Split):
    """A sample is a user: the item that was held out, and the same unseen ones beside it at every evaluation."""

    pure = True

    def __init__(self, items: np.ndarray, unseen: Unseen, others: int, *, number: int) -> None:
        draws = order.draws(len(items), others, seed=CANDIDATES_SEED, epoch=number)
        self.items, self.others = items, unseen.distinct(np.arange(len(items)), draws)

    def __len__(self) -> int:
        return len(self.items)

    def batch(self, samples: np.ndarray, draws: np.ndarray) -> tuple[tuple[Tensor, ...], Tensor]:  # noqa: ARG002
        """Users (N) and candidates (N, 1 + others) int64, and which are right (N, 1 + others) float32."""
        return first_is_right(samples, self.items[samples], self.others[samples])


def first_is_right(users: np.ndarray, right: np.ndarray, others: np.ndarray) -> tuple[tuple[Tensor, ...], Tensor]:
    """Inputs and target of candidates of which the first is right.   (N), (N), (N, C - 1) -> ((N), (N, C)), (N, C)."""
    items = np.concatenate([right[:, np.newaxis], others], axis=1)
    target = torch.zeros(items.shape)
    target[:, 0] = 1.0
    return (torch.from_numpy(users), torch.from_numpy(items)), target
