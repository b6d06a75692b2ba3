"""A file of clicks that need not fit into memory: its rows by number, parsed when they are asked for.

The file is read once, to check every row and to write down where each begins. That index is kept in the cache, where
it is found again for the same file, and is mapped into memory like the file itself.
"""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import BinaryIO

import numpy as np

from distbp.data import criteo
from distbp.data.bad_file import BadFileError, read_whole
from distbp.data.lines import BYTE_ORDER_MARK
from distbp.data.sources import expanded
from distbp.errors import RequestError

CHUNK_BYTES = 1 << 22
LONGEST = 4096  # bytes of a row
TEST_SHARE = 10  # the last row in ten, by time, is for the test


class Clicks:
    """The n rows of a file; ``starts`` (n + 1) is where each begins, and where one after the last would."""

    def __init__(self, path: Path, starts: np.ndarray) -> None:
        self.text = np.asarray(np.memmap(path, np.uint8, mode="r"))
        self.starts = np.asarray(starts)  # both are mapped still, but indexed as plain arrays are

    def __len__(self) -> int:
        return len(self.starts) - 1

    def rows(self, numbers: np.ndarray) -> criteo.Rows:
        """The rows of these numbers, from 0.   (N)."""
        starts = self.starts[numbers]
        lengths = self.starts[numbers + 1] - starts
        ends = np.cumsum(lengths)
        places = np.arange(ends[-1]) + np.repeat(starts - (ends - lengths), lengths)
        text = self.text[np.minimum(places, len(self.text) - 1)]
        text[ends - 1] = criteo.NEWLINE  # the last row of a file may have none
        return criteo.parse(text, first_row=0)


def open_clicks(path: str | Path, cache: str | Path) -> Clicks:
    """The file at ``path``, with its index in ``cache``. Raises RequestError("data.path", path, row and reason)."""
    with read_whole(path) as file:
        status = file.stat()
        key = f"{file.resolve()} {status.st_size} {status.st_mtime_ns}"
        index = expanded(cache) / f"{hashlib.sha256(key.encode()).hexdigest()[:16]}-clicks.index"
        if not index.exists():
            with file.open("rb") as content:
                write_index(content, index)
        return Clicks(file, np.memmap(index, np.int64, mode="r"))


def cut(rows: int) -> int:
    """The number of rows for training; what follows them in time is for the test."""
    return rows - rows // TEST_SHARE


def write_index(content: BinaryIO, index: Path) -> None:
    """Check the rows and write where they begin. Workers may do so at once: each renames a file of its own."""
    try:
        index.parent.mkdir(parents=True, exist_ok=True)
        with NamedTemporaryFile(dir=index.parent, prefix=f".{index.name}.", delete=False) as file:
            written = Path(file.name)
            try:
                for starts in checked(content):
                    file.write(starts.tobytes())
            except BaseException:
                written.unlink()
                raise
        written.replace(index)
    except OSError as error:
        message = f"a folder that can be written ({error.strerror or error})"
        raise RequestError("data.cache", index.parent, message) from None


def checked(content: BinaryIO) -> Iterator[np.ndarray]:
    """Where the rows begin, piece by piece, and at last where one more would.

    Raises BadFileError for a row that is none, or where the training or the test part has rows of one label alone.
    """
    mark = BYTE_ORDER_MARK.encode()
    begin = len(mark) if content.read(len(mark)) == mark else 0
    content.seek(begin)
    rows = 0
    spans: dict[int, tuple[int, int]] = {}  # the first and the last row of each label
    for lines in pieces(content):
        text = np.frombuffer(lines, np.uint8)
        labels = criteo.parse(text, first_row=rows + 1).labels
        for label in np.unique(labels).tolist():
            found = np.flatnonzero(labels == label) + rows
            spans[label] = (spans.get(label, found)[0], found[-1])
        ends = np.flatnonzero(text == criteo.NEWLINE) + 1
        yield np.concatenate([[0], ends[:-1]]) + begin
        begin, rows = begin + len(lines), rows + len(ends)
    if not rows:
        raise BadFileError(f"an empty file; {criteo.EXPECTED}")
    for label in (0, 1):
        first, last = spans.get(label, (rows, -1))
        if first >= cut(rows) or last < cut(rows):
            part = f"first {cut(rows)}" if first >= cut(rows) else f"last {rows - cut(rows)}"
            raise BadFileError(f"no row with label {label} among the {part} of {rows} rows")
    yield np.array([begin])


def pieces(content: BinaryIO) -> Iterator[bytes]:
    """The text in pieces of whole rows, each ending in a newline."""
    rest = b""
    while chunk := content.read(CHUNK_BYTES):
        lines, newline, rest = (rest + chunk).rpartition(b"\n")
        if len(rest) > LONGEST:
            raise BadFileError(f"a row longer than {LONGEST:,} bytes; {criteo.EXPECTED}")
        if newline:
            yield lines + newline
    if rest:
        yield rest + b"\n"
