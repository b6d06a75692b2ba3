"""Criteo's format of clicks: a tab-separated row each, of a label, 13 whole numbers and 26 hexadecimal categories.

No header; the label is 0 or 1; a number or a category may be empty. Rows are counted from 1. All rows of a piece of
text are parsed at once, whatever is wrong among them is refused with its row.

N rows, B bytes.
"""

from typing import NamedTuple, NoReturn

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from distbp.data.bad_file import BadFileError, shown

NUMBERS, CATEGORIES = 13, 26
COLUMNS = 1 + NUMBERS + CATEGORIES
DIGITS, HEXADECIMAL = 9, 8  # the longest number, without its sign, and every category
EXPECTED = f"a label, {NUMBERS} numbers and {CATEGORIES} categories between tabs are expected"
TAB, NEWLINE, MINUS = b"\t\n-"
NO_DIGIT = 255
VALUES = np.full(256, NO_DIGIT, np.uint8)
VALUES[list(b"0123456789abcdef")] = np.arange(16)
VALUES[list(b"ABCDEF")] = np.arange(10, 16)


class Rows(NamedTuple):
    """Some rows; a number that is missing is 0, a category that is missing is -1."""

    labels: np.ndarray  # (N) int64, 0 or 1
    numbers: np.ndarray  # (N, 13) int64
    categories: np.ndarray  # (N, 26) int64, below 2^32


def parse(text: np.ndarray, first_row: int) -> Rows:
    """The rows of a text that ends in a newline. Raises BadFileError for the first that is none.   (B) uint8."""
    between = np.flatnonzero((text == TAB) | (text == NEWLINE))
    newlines = np.flatnonzero(text[between] == NEWLINE)
    if not np.array_equal(newlines, np.arange(COLUMNS - 1, len(between), COLUMNS)) or len(between) % COLUMNS:
        _refuse(text, first_row)
    label, number, category = slice(1), slice(1, 1 + NUMBERS), slice(1 + NUMBERS, COLUMNS)
    ends = between.reshape(-1, COLUMNS)
    widths = (np.diff(between, prepend=-1) - 1).reshape(-1, COLUMNS)
    starts = ends - widths
    labels = VALUES[text[starts[:, label]]]
    numbers, whole = _numbers(text, ends[:, number], widths[:, number])
    categories, known = _categories(text, starts[:, category], widths[:, category])
    if not (whole and known and (labels < 2).all() and (widths[:, label] == 1).all()):
        _refuse(text, first_row)
    return Rows(labels[:, 0].astype(np.int64), numbers, categories)


def _numbers(text: np.ndarray, ends: np.ndarray, widths: np.ndarray) -> tuple[np.ndarray, bool]:
    """The whole numbers that stand before ``ends``, an empty one 0, and whether all are that."""
    minus = (widths > 1) & (text[ends - widths] == MINUS)
    widths = widths - minus
    values = np.zeros(ends.shape, np.int64)
    right = bool((widths <= DIGITS).all())
    for place in range(min(DIGITS, int(widths.max(initial=0)))):
        digits = VALUES[text[ends - 1 - place]]
        digits[widths <= place] = 0
        right &= bool((digits < 10).all())
        values += digits.astype(np.int64) * 10**place
    return np.where(minus, -values, values), right


def _categories(text: np.ndarray, starts: np.ndarray, widths: np.ndarray) -> tuple[np.ndarray, bool]:
    """The hexadecimal numbers that begin at ``starts``, an empty one -1, and whether all are that."""
    there = widths == HEXADECIMAL
    digits = VALUES[sliding_window_view(text, HEXADECIMAL)[starts[there]]]
    values = np.full(starts.shape, -1, np.int64)
    values[there] = (digits[:, ::2] << 4 | digits[:, 1::2]).view(">u4")[:, 0]
    return values, bool((digits < 16).all() and (there | (widths == 0)).all())


def _refuse(text: np.ndarray, first_row: int) -> NoReturn:
    """Raise for the first row of ``text`` that is none."""
    for row, line in enumerate(text.tobytes()[:-1].split(b"\n"), start=first_row):
        complaint = _complaint(line.decode("latin-1").split("\t"))
        if complaint:
            raise BadFileError(f"row {row}: {complaint}")
    raise AssertionError("a text that was refused has a bad row")


def _complaint(fields: list[str]) -> str | None:
    """What is wrong with a row, or None."""
    if len(fields) != COLUMNS:
        return f"{len(fields)} columns; {EXPECTED}"
    if fields[0] not in ("0", "1"):
        return f"label {shown(fields[0])}, 0 or 1 is expected"
    for column, field in enumerate(fields[1:], start=2):
        digits = field.removeprefix("-") if len(field) > 1 else field
        if column <= 1 + NUMBERS:
            if digits and not (len(digits) <= DIGITS and set(digits) <= set("0123456789")):
                return f"column {column} is {shown(field)}, a whole number of at most {DIGITS} digits is expected"
        elif field and not (len(field) == HEXADECIMAL and set(field) <= set("0123456789abcdefABCDEF")):
            return f"column {column} is {shown(field)}, {HEXADECIMAL} hexadecimal digits are expected"
    return None
