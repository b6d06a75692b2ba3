"""How the progress of a run is shown: one live line on a terminal, a line now and then elsewhere."""

import time
from abc import ABC, abstractmethod

from rich.console import Console

BAR = 16  # characters
CLEAR = "\r\x1b[2K"


class Display(ABC):
    """Shows where a run of ``steps`` steps stands, not more often than every ``interval`` seconds."""

    interval: float

    def __init__(self, console: Console, *, steps: int) -> None:
        self.console = console
        self.steps = steps
        self._next = 0.0

    @property
    def due(self) -> bool:
        """Whether it is time to show something."""
        return time.monotonic() >= self._next

    def show(self, position: int, epoch: int, figures: str) -> None:
        """``position`` steps are done, in ``epoch`` (from 1)."""
        self._next = time.monotonic() + self.interval
        self._show(position, epoch, figures)

    def say(self, line: str) -> None:
        """A line that stays."""
        self.console.print(line, highlight=False, soft_wrap=True)

    @abstractmethod
    def _show(self, position: int, epoch: int, figures: str) -> None: ...

    def close(self) -> None:  # noqa: B027 - lines need no end
        """The run is over."""


class LineDisplay(Display):
    """A line every few seconds."""

    interval = 5.0

    def _show(self, position: int, epoch: int, figures: str) -> None:
        self.say(f"epoch {epoch}  step {position}/{self.steps}  {figures}")


class LiveDisplay(Display):
    """One line that stays in place, with a bar and the time that is left.

    Plain control codes, no hidden cursor and no thread: a job may end at any moment and must leave a terminal in order.
    """

    interval = 0.2

    def __init__(self, console: Console, *, steps: int) -> None:
        super().__init__(console, steps=steps)
        self._begun = time.monotonic()
        self._first = 0
        self._line = ""

    def say(self, line: str) -> None:
        """The line above the live one."""
        self._write("")
        super().say(line)
        self._write(self._line)

    def close(self) -> None:
        """Clear the live line."""
        self._write("")

    def _show(self, position: int, epoch: int, figures: str) -> None:
        self._first = self._first or position
        pace = (time.monotonic() - self._begun) / max(position - self._first, 1)
        left = int(pace * (self.steps - position))
        filled = BAR * position // max(self.steps, 1)
        bar = "\u2501" * filled + "\u2500" * (BAR - filled)
        self._line = f"epoch {epoch} {bar} {position}/{self.steps}  {left // 60}:{left % 60:02d} left  {figures}"
        self._write(self._line)

    def _write(self, line: str) -> None:
        self.console.file.write(CLEAR + line[: self.console.width - 1])
        self.console.file.flush()


def display(console: Console, *, steps: int) -> Display:
    """The display that suits the console."""
    return (LiveDisplay if console.is_terminal else LineDisplay)(console, steps=steps)
