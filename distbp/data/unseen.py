"""The items that a user has not seen, by number: drawn from without a draw that is thrown away.

A user's unseen items are numbered from 0 in ascending order. A number becomes an item by one search among the items
that he has seen, so a uniform number is a uniform unseen item, and memory follows the interactions.

n interactions, N users asked about, k items of each.
"""

import numpy as np


class Unseen:
    """The unseen items of each of ``user_count`` users among ``item_count`` items; each interaction is there once."""

    def __init__(self, users: np.ndarray, items: np.ndarray, *, user_count: int, item_count: int) -> None:
        order = np.lexsort((items, users))
        users, items = users[order], items[order]
        self.starts = np.searchsorted(users, np.arange(user_count + 1))
        self.counts = item_count - np.diff(self.starts)  # (user_count) unseen items of each
        before = np.arange(len(users)) - self.starts[users]  # seen items below each seen one
        self.stride = item_count + 1
        self.keys = users * self.stride + items - before  # ascending: user first, then unseen items below the seen one

    def items(self, users: np.ndarray, numbers: np.ndarray) -> np.ndarray:
        """The items of these numbers.   (N), (N, k) int64, below the users' counts -> (N, k) int64."""
        users = users[:, np.newaxis]
        below = np.searchsorted(self.keys, users * self.stride + numbers, side="right") - self.starts[users]
        items: np.ndarray = numbers + below
        return items

    def drawn(self, users: np.ndarray, draws: np.ndarray) -> np.ndarray:
        """A uniform unseen item for each draw; equal ones may come.   (N), (N, k) in [0, 1) -> (N, k) int64."""
        return self.items(users, (draws * self.counts[users][:, np.newaxis]).astype(np.int64))

    def distinct(self, users: np.ndarray, draws: np.ndarray) -> np.ndarray:
        """The same without a repetition, where the counts allow k.   (N), (N, k) in [0, 1) -> (N, k) int64."""
        taken = np.empty((len(users), 0), np.int64)
        for k, draw in enumerate(draws.T):
            number = (draw * (self.counts[users] - k)).astype(np.int64)  # of those that are left
            number += (taken - np.arange(k) <= number[:, np.newaxis]).sum(axis=1)  # of all
            taken = np.sort(np.column_stack([taken, number]), axis=1)
        return self.items(users, taken)
