"""The Adult table (Becker and Kohavi 1996): a person a row, and whether he earns more than 50,000 dollars a year.

n people, D numbers, F categories.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from distbp.data.parquet import read_parquet

NUMBERS = ("age", "fnlwgt", "educational-num", "capital-gain", "capital-loss", "hours-per-week")
CATEGORIES = (
    "workclass", "education", "marital-status", "occupation", "relationship", "race", "gender", "native-country"
)  # fmt: skip
LABEL, POSITIVE = "income", ">50K"


class People(NamedTuple):
    """The table as it stands; a category is a text, ``?`` where it is not known."""

    numbers: np.ndarray  # (n, D) float64
    categories: np.ndarray  # (n, F) texts
    labels: np.ndarray  # (n) 0 or 1, uint8


def read_adult(path: str | Path) -> People:
    """The table of the verified file at ``path``. RequestError where pyarrow is missing."""
    table = read_parquet(path, "Adult")
    return People(
        np.column_stack([table[name].to_numpy() for name in NUMBERS]).astype(np.float64),
        np.column_stack([table[name].to_numpy().astype(str) for name in CATEGORIES]),
        (table[LABEL].to_numpy() == POSITIVE).astype(np.uint8),
    )
