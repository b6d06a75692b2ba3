"""The format of a table of texts with labels: CSV (RFC 4180) in UTF-8, a row a text.

A header names the columns ``text`` and ``label``, in any order and beside others. A field that holds commas, quotes or
line ends stands in quotes. A class is whatever the column ``label`` says, a name or a number. A row is named by the
line on which it begins, counted from 1, the header too.
"""

import csv
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

from distbp.data.bad_file import BadFileError, read_whole, shown
from distbp.data.lines import lines

COLUMNS = ("text", "label")
EXPECTED = "CSV in UTF-8 with a header that has the columns text and label is expected"
LONGEST = 1 << 20  # bytes of a line, and characters of a field of several
LEAST_ROWS = 10  # of each class: a fifth is for the test, a fifth of the rest perhaps for validation
NUMBER = re.compile(r"[+-]?[0-9]{1,18}")


class LabelledTexts(NamedTuple):
    """n texts, each with the number of its class; class k is called ``classes[k]``."""

    texts: Sequence[str]
    labels: np.ndarray  # (n) int64
    classes: Sequence[str]


def read_labelled(path: str | Path) -> LabelledTexts:
    """The table at ``path``; classes in the order of their numbers, or else of their names.

    Raises RequestError("data.path", path, row and what is wrong).
    """
    with read_whole(path) as file, file.open("rb") as content:
        texts, names = [], []
        for text, name in _examples(content):
            texts.append(text)
            names.append(name)
        return _numbered(texts, names)


def _examples(file: BinaryIO) -> Iterator[tuple[str, str]]:
    """Each text with its label."""
    rows = _rows(file)
    _, head = next(rows, (1, []))
    head = [name.strip() for name in head]
    places = [_place(column, head) for column in COLUMNS]
    for row, fields in rows:
        if len(fields) != len(head):
            raise BadFileError(f"row {row}: {len(fields)} columns, {len(head)} are expected")
        text, name = (fields[place] for place in places)
        for value, column in zip((text, name), COLUMNS, strict=True):
            if not value.strip():
                raise BadFileError(f"row {row}: no {column}")
        yield text, name.strip()


def _rows(file: BinaryIO) -> Iterator[tuple[int, list[str]]]:
    """The rows of fields, each with the line on which it begins."""
    # The limit is the process's: it is raised and stays, for another thread may read; what others could read they can.
    csv.field_size_limit(max(csv.field_size_limit(), LONGEST))
    reader = csv.reader(lines(file, longest=LONGEST, expected=EXPECTED), strict=True)
    row = 1
    try:
        for fields in reader:
            yield row, fields
            row = reader.line_num + 1
    except csv.Error as error:
        raise BadFileError(f"row {row}: no CSV ({error}); {EXPECTED}") from None


def _place(column: str, head: Sequence[str]) -> int:
    """Where a column stands in a row."""
    if head.count(column) != 1:
        several = "more than one" if column in head else "no"
        raise BadFileError(f"row 1: {several} column {column}; {EXPECTED}")
    return head.index(column)


def _numbered(texts: list[str], names: list[str]) -> LabelledTexts:
    """The texts with the numbers of their classes, each of which is there often enough to be learnt and tested."""
    found = sorted(set(names))
    if all(map(NUMBER.fullmatch, found)):
        found.sort(key=int)
    number = {name: number for number, name in enumerate(found)}
    labels = np.fromiter((number[name] for name in names), np.int64, len(names))
    if len(found) < 2:
        raise BadFileError(f"all rows have label {shown(found[0])}" if found else "a header and no rows")
    counts = np.bincount(labels)
    rare = int(counts.argmin())
    if counts[rare] < LEAST_ROWS:
        needed = f"each label needs at least {LEAST_ROWS}"
        raise BadFileError(f"{counts[rare]} rows have label {shown(found[rare])}; {needed}")
    return LabelledTexts(texts, labels, found)
