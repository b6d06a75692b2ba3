"""The format of a table of digits: a row a picture, its 28 x 28 pixel values (0 to 255), then its label (0 to 9).

Comma-separated text, plain or gzip, without a header. It is read in chunks, so that memory follows the pictures and
not what a gzip file may blow up to, and strictly: whatever is wrong is refused with its row.
"""

import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple, NoReturn

import numpy as np

from distbp.data.bad_file import BadFileError, read_whole

PIXELS = 28 * 28
COLUMNS = PIXELS + 1
CLASSES = 10
EXPECTED = f"comma-separated rows of {PIXELS} pixels and a label are expected"
ALLOWED = b"0123456789,\n"
CHUNK_BYTES = 1 << 20
MOST_ROWS = 300_000  # all of EMNIST's digits; 235 MB
LEAST_ROWS = 5  # of each class: the fewest that leave one for the test split

SIGNATURES = {
    b"\x89PNG": "a PNG picture",
    b"\xff\xd8\xff": "a JPEG picture",
    b"\x00\x00\x08": "an IDX file",
    b"PK": "a zip archive",
    b"\x93NUMPY": "a numpy array",
    b"PAR1": "a Parquet table",
    b"\x80\x02": "a pickle",
    b"\x80\x03": "a pickle",
    b"\x80\x04": "a pickle",
    b"\x80\x05": "a pickle",
    b"\xef\xbb\xbf": "text with a byte order mark",
}


class Digits(NamedTuple):
    """n pictures and their labels."""

    pixels: np.ndarray  # (n, 28, 28) uint8
    labels: np.ndarray  # (n) uint8


def read_digits(path: str | Path) -> Digits:
    """The pictures and labels of the table at ``path``. Raises RequestError("data.path", path, what is wrong)."""
    with read_whole(path) as file:
        try:
            return _parsed(file)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise BadFileError(f"the gzip file is truncated or damaged ({error})") from None


def _parsed(path: Path) -> Digits:
    with path.open("rb") as raw, unzipped(raw) as file:
        tables = list(_tables(file))
    table = np.concatenate(tables) if tables else np.empty((0, COLUMNS), np.uint8)
    pixels, labels = table[:, :-1], table[:, -1].copy()
    _check_classes(labels)
    return Digits(pixels.reshape(-1, 28, 28), labels)


def unzipped(raw: BinaryIO) -> BinaryIO:
    """The text of a file, which is gzip if it begins as one, whatever its name."""
    magic = raw.read(2)
    raw.seek(0)
    return gzip.GzipFile(fileobj=raw) if magic == b"\x1f\x8b" else raw  # type: ignore[return-value]


def _tables(file: BinaryIO) -> Iterator[np.ndarray]:
    """The table in pieces of whole rows, each (rows, 785) uint8."""
    rows = 0
    for lines in _chunks(file):
        yield _table(lines, rows)
        rows += lines.count(b"\n")
        if rows > MOST_ROWS:
            raise BadFileError(f"more than {MOST_ROWS:,} rows")


def _chunks(file: BinaryIO) -> Iterator[bytes]:
    """The text in pieces of whole lines, each about a megabyte, each ending in a newline."""
    rest, first = b"", True
    while chunk := file.read(CHUNK_BYTES):
        if first:
            _check_signature(chunk)
        first = False
        lines, newline, rest = (rest + chunk).rpartition(b"\n")
        if len(rest) > CHUNK_BYTES:
            raise BadFileError(f"a line longer than {CHUNK_BYTES:,} bytes; {EXPECTED}")
        if newline:
            yield _plain(lines + newline)
    if rest:
        yield _plain(rest + b"\n")


def _plain(lines: bytes) -> bytes:
    return lines.replace(b"\r\n", b"\n")


def _table(lines: bytes, rows_before: int) -> np.ndarray:
    """The rows of ``lines``, (rows, 785) uint8; where they are none, ``_refuse`` says why."""
    strange = lines.translate(None, ALLOWED)
    numbers = None if strange else _numbers(lines)
    if numbers is None or numbers.max() > 255 or numbers[:, -1].max() >= CLASSES:
        _refuse(lines, rows_before)
    return numbers.astype(np.uint8)


def _numbers(lines: bytes) -> np.ndarray | None:
    """Digits, commas and newlines as a table of numbers, (rows, 785) uint16; None where they do not make one.

    Every number at once: where each ends, how wide it is, and from there its one, two or three digits.
    """
    text = np.frombuffer(lines, np.uint8)
    ends = np.flatnonzero(text < ord("0"))
    widths = np.diff(ends, prepend=-1) - 1
    newlines = np.flatnonzero(text[ends] == ord("\n"))
    if widths.min() < 1 or widths.max() > 3 or np.any(np.diff(newlines, prepend=-1) != COLUMNS):
        return None
    digits = text.astype(np.uint16) - ord("0")
    numbers = digits[ends - 1]
    for place in (2, 3):
        wide = np.flatnonzero(widths >= place)
        numbers[wide] += digits[ends[wide] - place] * 10 ** (place - 1)
    return numbers.reshape(-1, COLUMNS)


def _refuse(lines: bytes, rows_before: int) -> NoReturn:
    """Raise for the first row of ``lines`` that is not a picture and its label."""
    for number, line in enumerate(lines[:-1].split(b"\n"), start=rows_before + 1):
        complaint = _complaint(line.split(b","))
        if complaint:
            raise BadFileError(f"row {number}: {complaint}")
    raise AssertionError("a table that was refused has a bad row")


def _complaint(fields: list[bytes]) -> str | None:
    """What is wrong with a row, or None."""
    for column, field in enumerate(fields, start=1):
        if not field.isdigit():
            return f"column {column} is {_shown(field)}, a whole number is expected"
        if column <= PIXELS and (len(field) > 3 or int(field) > 255):
            return f"pixel {column} is {_shown(field)}, outside 0 to 255"
    if len(fields) != COLUMNS:
        return f"{len(fields)} columns, {EXPECTED}"
    if len(fields[-1]) > 3 or int(fields[-1]) >= CLASSES:
        return f"label {_shown(fields[-1])} is outside 0 to {CLASSES - 1}"
    return None


def _shown(field: bytes) -> str:
    """A field as one short word of ASCII."""
    start = field[:20].decode("latin-1")
    return (start if field.isdigit() else ascii(start)) + ("..." if len(field) > 20 else "")


def _check_signature(start: bytes) -> None:
    for signature, kind in SIGNATURES.items():
        if start.startswith(signature):
            raise BadFileError(f"{kind}; {EXPECTED}")


def _check_classes(labels: np.ndarray) -> None:
    if len(labels) == 0:
        raise BadFileError(f"no rows; {EXPECTED}")
    counts = np.bincount(labels, minlength=CLASSES)
    label = int(counts.argmin())
    if counts[label] < LEAST_ROWS:
        raise BadFileError(
            f"{counts[label]} rows have label {label} (the last column); each label needs at least {LEAST_ROWS}"
        )
