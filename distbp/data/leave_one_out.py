"""The interactions of each user in the order of time, the latest ones left out of training (leave-one-out)."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from distbp.data.ratings import Ratings
from distbp.errors import RequestError


class LeftOut(NamedTuple):
    """What is left for training, and what was left out: of user u the latest item is ``items[u, 0]``."""

    training: np.ndarray  # (n - users x held_out) rows of the ratings, ascending
    items: np.ndarray  # (users, held_out) int64


def leave_out(ratings: Ratings, held_out: int, path: str | Path) -> LeftOut:
    """Leave out the ``held_out`` latest interactions of each user; of equal times the later row is the later one.

    ``path`` is what a RequestError names where the times are missing or a user would have nothing left.
    """
    if ratings.times is None:
        raise RequestError("data.path", path, "row 1: no column timestamp: it says which interaction is the latest")
    counts = np.bincount(ratings.users)
    if counts.min() <= held_out:
        user = int(counts.argmin())
        raise RequestError(
            "data.path",
            path,
            f"user {ratings.user_ids[user]!a} has {counts[user]} rows; {held_out + 1} are needed, the latest for tests",
        )
    order = np.lexsort((ratings.times, ratings.users))  # stable: equal times stay in the order of rows
    ends = np.cumsum(counts)
    latest = order[ends[:, np.newaxis] - 1 - np.arange(held_out)]
    return LeftOut(np.setdiff1d(order, latest), ratings.items[latest])
