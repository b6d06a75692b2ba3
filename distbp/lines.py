"""Where the lines go that a run tells of itself, each an object of JSON: a file, or what somebody watches."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any


class Lines(ABC):
    """Takes lines. Each has a ``step``: how many have been done. What else it has says what it tells of."""

    @abstractmethod
    def write(self, line: Mapping[str, Any]) -> None:
        """Add a line."""

    @abstractmethod
    def sync(self) -> None:
        """Have the disk hold what has been written: a checkpoint of this moment is about to be saved."""

    def close(self) -> None:  # noqa: B027 - most hold nothing
        """No more lines come."""
