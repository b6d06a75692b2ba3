"""The format of a table of ratings: a row for each user and item, with the rating and, perhaps, its time.

Three layouts are read: RecBole's (tab-separated, ``user_id:token``, ``item_id:token``, ``rating:float``,
``timestamp:float``), that of MovieLens' ``ratings.csv`` (comma-separated, ``userId``, ``movieId``, ``rating``,
``timestamp``) and that of its ``u.data`` (four tab-separated numbers in that order, no header). With a header the
columns may stand in any order, the time may be missing, and other columns are passed over. A user or an item is any
text; both are numbered from 0 in the order in which they first appear. Rows are lines, counted from 1, the header too.
"""

import re
import sys
from array import array
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from distbp.data.bad_file import BadFileError, read_whole, shown
from distbp.data.lines import lines

COLUMNS = {
    "user": ("user_id", "userId", "user"),
    "item": ("item_id", "itemId", "movieId", "item"),
    "rating": ("rating",),
    "timestamp": ("timestamp",),
}
EXPECTED = "a header with user_id, item_id, rating and perhaps timestamp is expected"
LONGEST = 4096  # bytes of a line
LARGEST = {"rating": float(np.finfo(np.float32).max), "timestamp": sys.float_info.max}  # that a column can hold
NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]*)?([eE][+-]?[0-9]+)?")


class Ratings(NamedTuple):
    """n ratings of items by users, each pair once; ``times`` where the table tells them."""

    users: np.ndarray  # (n) int64, rows of user_ids
    items: np.ndarray  # (n) int64, rows of item_ids
    values: np.ndarray  # (n) float32
    times: np.ndarray | None  # (n) float64
    user_ids: Sequence[str]
    item_ids: Sequence[str]


def read_ratings(path: str | Path) -> Ratings:
    """The table at ``path``. Raises RequestError("data.path", path, row and what is wrong)."""
    with read_whole(path) as file, file.open("rb") as content:
        rows = (line.rstrip("\r\n") for line in lines(content, longest=LONGEST, expected=EXPECTED))
        first = next(rows, None)
        if first is None:
            raise BadFileError(f"an empty file; {EXPECTED}")
        separator = "\t" if "\t" in first else ","
        head, bare = first.split(separator), _is_row(first)
        table = _Table(len(head), range(len(COLUMNS)) if bare else _places(head))
        if bare:
            table.append(1, head)
        for row, line in enumerate(rows, start=2):
            table.append(row, line.split(separator))
        return table.ratings(first_row=1 if bare else 2)


class _Table:
    """The rows so far, as plain numbers: what a row costs does not depend on how it was written."""

    def __init__(self, width: int, places: Sequence[int]) -> None:
        self.width = width
        self.places = places  # of user, item, rating and, if it is there, time
        self.users: dict[str, int] = {}
        self.items: dict[str, int] = {}
        self.pairs = array("q")
        self.numbers = array("d")

    def append(self, row: int, fields: Sequence[str]) -> None:
        """One more row."""
        if len(fields) != self.width:
            raise BadFileError(f"row {row}: {len(fields)} columns, {self.width} are expected")
        user, item, *numbers = (fields[place] for place in self.places)
        for ids, name, kind in ((self.users, user, "user"), (self.items, item, "item")):
            if not name.strip():
                raise BadFileError(f"row {row}: no {kind}")
            self.pairs.append(ids.setdefault(name, len(ids)))
        for text, (kind, largest) in zip(numbers, LARGEST.items(), strict=False):
            if not NUMBER.fullmatch(text) or abs(number := float(text)) > largest:
                expected = f"a finite number is expected, at most {largest:.2g}"
                raise BadFileError(f"row {row}: {kind} {shown(text)}, {expected}")
            self.numbers.append(number)

    def ratings(self, first_row: int) -> Ratings:
        """All of them; a pair of user and item may be there once."""
        if not self.pairs:
            raise BadFileError("a header and no rows")
        pairs = np.frombuffer(self.pairs, np.int64).reshape(-1, 2)
        users, items = pairs.T.copy()
        order = np.lexsort((items, users))
        again = np.flatnonzero((np.diff(users[order]) == 0) & (np.diff(items[order]) == 0))
        if len(again):
            before, row = order[again[0]] + first_row, order[again[0] + 1] + first_row
            raise BadFileError(f"row {row}: the user and the item of row {before} again")
        values, *times = np.frombuffer(self.numbers).reshape(len(pairs), -1).T.copy()
        return Ratings(
            users, items, values.astype(np.float32), times[0] if times else None, list(self.users), list(self.items)
        )


def _is_row(first: str) -> bool:
    """Whether the first line of a file is a row of ``u.data`` and no header."""
    fields = first.split("\t")
    return len(fields) == len(COLUMNS) and all(map(NUMBER.fullmatch, fields))


def _places(head: Sequence[str]) -> list[int]:
    """Where user, item, rating and, if it is there, time stand in a row."""
    names = [name.partition(":")[0] for name in head]
    for name in names:
        if names.count(name) > 1:
            raise BadFileError(f"row 1: more than one column {shown(name)}")
    found = {kind: [names.index(name) for name in known if name in names] for kind, known in COLUMNS.items()}
    for kind, places in found.items():
        if len(places) > 1:
            several = " and ".join(names[place] for place in places)
            raise BadFileError(f"row 1: {several}: one column of a {kind} is allowed")
        if not places and kind != "timestamp":
            raise BadFileError(f"row 1: no column {' or '.join(COLUMNS[kind])}; {EXPECTED}")
    return [places[0] for places in found.values() if places]
