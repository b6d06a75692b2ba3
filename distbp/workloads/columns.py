"""Tables of numbers and categories as splits: one in memory, one that is parsed as it is asked for.

N rows in a batch, D numbers, F categories.
"""

import numpy as np
import torch
from torch import Tensor

from distbp.data.adult import People
from distbp.data.clicks import Clicks
from distbp.data.split import Split

MISSING = 0  # the row of a table for a category that is missing, or that training does not have
MIX = np.uint64(0x9E3779B97F4A7C15)  # Fibonacci hashing (Knuth, volume 3, section 6.4): 2^64 over the golden ratio


class InMemory(Split):
    """Numbers (n, D), numbers of table rows (n, F) and labels (n)."""

    pure = True

    def __init__(self, numbers: np.ndarray, categories: np.ndarray, labels: np.ndarray) -> None:
        self.numbers = torch.from_numpy(numbers.astype(np.float32))
        self.categories = torch.from_numpy(categories)
        self.labels = torch.from_numpy(labels.astype(np.float32))

    def __len__(self) -> int:
        return len(self.labels)

    def batch(self, samples: np.ndarray, draws: np.ndarray) -> tuple[tuple[Tensor, ...], Tensor]:  # noqa: ARG002
        """Numbers (N, D) float32 and table rows (N, F) int64, and the labels (N) float32, of ``samples`` (N)."""
        chosen = torch.from_numpy(samples)
        numbers, categories, labels = (
            column.index_select(0, chosen) for column in (self.numbers, self.categories, self.labels)
        )
        return (numbers, categories), labels


class OnDisk(Split):
    """Some consecutive rows of a file of clicks; a category is hashed to one of ``buckets`` rows of its table."""

    pure = True

    def __init__(self, clicks: Clicks, rows: range, buckets: int) -> None:
        self.clicks, self.rows, self.buckets = clicks, rows, buckets

    def __len__(self) -> int:
        return len(self.rows)

    def batch(self, samples: np.ndarray, draws: np.ndarray) -> tuple[tuple[Tensor, ...], Tensor]:  # noqa: ARG002
        """``log(1 + number)``, what is below 0 being 0, and table rows and labels, of ``samples`` (N)."""
        labels, numbers, categories = self.clicks.rows(samples + self.rows.start)
        logarithms = torch.from_numpy(np.log1p(np.maximum(numbers, 0), dtype=np.float32))
        return (logarithms, torch.from_numpy(hashed(categories, self.buckets))), torch.from_numpy(labels).float()


def hashed(categories: np.ndarray, buckets: int) -> np.ndarray:
    """A row below ``buckets`` for each category, ``MISSING`` for a negative one.   (N, F) int64 -> (N, F) int64."""
    mixed = (categories.astype(np.uint64) * MIX) >> np.uint64(32)
    rows = 1 + (mixed % np.uint64(buckets - 1)).astype(np.int64)
    return np.where(categories < 0, MISSING, rows)


def people(table: People, training: np.ndarray, test: np.ndarray) -> tuple[InMemory, InMemory, list[int]]:
    """The two splits, and how high the table of each category is.

    A number is ``log(1 + number)``, standardised by the training rows; a category's row is its place among those of
    the training rows, from 1.
    """
    logarithms = np.log1p(table.numbers)
    mean, deviation = logarithms[training].mean(axis=0), logarithms[training].std(axis=0)
    numbers = (logarithms - mean) / np.where(deviation > 0, deviation, 1.0)
    categories = np.empty(table.categories.shape, np.int64)
    heights = []
    for column, texts in enumerate(table.categories.T):
        known = np.unique(texts[training])
        place = np.searchsorted(known, texts).clip(max=len(known) - 1)
        categories[:, column] = np.where(known[place] == texts, 1 + place, MISSING)
        heights.append(1 + len(known))
    first, second = (InMemory(numbers[rows], categories[rows], table.labels[rows]) for rows in (training, test))
    return first, second, heights
