"""Small jobs of every workload: data of a few rows, and settings under which three steps take a moment."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Small:
    """``write(folder)`` makes the data and returns what ``data.path`` is; ``settings`` are overrides beside it."""

    write: Callable[[Path], Path]
    settings: Sequence[str] = ()
