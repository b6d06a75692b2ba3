"""Unseen items by number, against sets; the interactions that are left out."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from distbp.data import order
from distbp.data.leave_one_out import leave_out
from distbp.data.ratings import Ratings
from distbp.data.unseen import Unseen
from distbp.errors import RequestError

USERS, ITEMS = 5, 12
SEEN = st.lists(st.tuples(st.integers(0, USERS - 1), st.integers(0, ITEMS - 1)), unique=True)


@given(SEEN)
def test_each_number_is_an_item_that_the_user_has_not_seen(seen: list[tuple[int, int]]) -> None:
    pairs = np.array(seen, np.int64).reshape(-1, 2)
    unseen = Unseen(pairs[:, 0], pairs[:, 1], user_count=USERS, item_count=ITEMS)
    for user in range(USERS):
        left = sorted(set(range(ITEMS)) - {item for by, item in seen if by == user})
        assert unseen.counts[user] == len(left)
        assert unseen.items(np.array([user]), np.arange(len(left))[np.newaxis]).tolist() == [left]


def test_draws_are_uniform_over_the_unseen_items_and_distinct_where_that_is_asked() -> None:
    users = np.zeros(2000, np.int64)
    unseen = Unseen(np.zeros(4, np.int64), np.array([0, 3, 4, 11]), user_count=1, item_count=ITEMS)
    draws = order.draws(2000, 5, seed=0, epoch=0)
    left = [1, 2, 5, 6, 7, 8, 9, 10]
    for drawn in (unseen.drawn(users, draws), unseen.distinct(users, draws)):
        counts = np.bincount(drawn.ravel(), minlength=ITEMS)
        assert np.flatnonzero(counts).tolist() == left
        assert np.all(abs(counts[left] - 1250) < 5 * 1250**0.5)
    assert all(len(set(row)) == 5 for row in unseen.distinct(users, draws))
    assert np.sort(unseen.distinct(users[:1], np.full((1, 8), 0.999))).tolist() == [left]


def ratings(**changes: object) -> Ratings:
    """User a takes up items 0, 1, 2 at times 3, 1, 3; user b items 2, 1, 0 at times 1, 2, 3."""
    table = Ratings(
        np.array([0, 1, 0, 1, 0, 1]), np.array([0, 2, 1, 1, 2, 0]), np.ones(6, np.float32),
        np.array([3.0, 1.0, 1.0, 2.0, 3.0, 3.0]), ["a", "b"], ["x", "y", "z"],
    )  # fmt: skip
    return table._replace(**changes)


def test_the_latest_are_left_out_and_of_equal_times_the_later_row() -> None:
    training, items = leave_out(ratings(), 2, "file")
    assert items.tolist() == [[2, 0], [0, 1]]
    assert training.tolist() == [1, 2]
    training, items = leave_out(ratings(), 1, "file")
    assert items.tolist() == [[2], [0]]
    assert training.tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"times": None}, "row 1: no column timestamp"),
        ({"users": np.array([0, 1, 0, 1, 0, 0])}, "user 'b' has 2 rows; 3 are needed"),
    ],
)
def test_what_cannot_be_left_out_is_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(RequestError, match=message):
        leave_out(ratings(**changes), 2, Path("file"))
