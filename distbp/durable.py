"""Files that are whole or not there at all, whatever ends the process or the machine meanwhile."""

import os
from collections.abc import Iterable
from io import RawIOBase
from pathlib import Path


def create(path: Path, pieces: Iterable[bytes | memoryview]) -> None:
    """Make a file of these pieces, one after the other, and have the disk hold it."""
    with path.open("xb", buffering=0) as file:
        for piece in pieces:
            put(file, piece)
        os.fsync(file.fileno())


def put(file: RawIOBase, piece: bytes | memoryview) -> None:
    """Write all of it: one call may write less, and says so."""
    rest = memoryview(piece)
    while rest:
        rest = rest[file.write(rest) :]


def replace(path: Path, text: str) -> None:
    """Have ``path`` hold ``text``; what was there stays until all of it has been written. A link is replaced itself."""
    temporary = path.with_name(f".{path.name}.new")
    temporary.unlink(missing_ok=True)
    try:
        create(temporary, [text.encode()])
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    sync(path.parent)


def sync(folder: Path) -> None:
    """Have the disk hold what was created and renamed in a folder."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
