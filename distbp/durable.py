"""A file in place of another, whole or not at all, whatever ends the process or the machine meanwhile."""

import os
from pathlib import Path


def replace(path: Path, text: str) -> None:
    """Have ``path`` hold ``text``; what was there stays until all of it has been written. A link is replaced itself."""
    temporary = path.with_name(f".{path.name}.new")
    temporary.unlink(missing_ok=True)
    try:
        with temporary.open("x") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
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
