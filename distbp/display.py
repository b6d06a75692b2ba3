"""How the progress of a run is shown: one live line on a terminal, a line now and then elsewhere."""

import time
from abc import ABC, abstractmethod

from rich.console import Console

BAR = 16  # characters
CLEAR = "\r\x1b[2K"
HOUR, MINUTE = 3600, 60  # seconds


class Display(ABC):
    """Shows where a run of ``steps`` steps stands, not more often than every ``interval`` seconds."""

    def __init__(self, console: Console, *, steps: int) -> None:
        self.console = console
        self.steps = steps
        self._next = 0.0
        self._begun = self._now = time.monotonic()
        self._first: int | None = None  # steps that were done when it began to count

    @property
    @abstractmethod
    def interval(self) -> float:
        """Seconds from one line to the next."""

    @property
    def due(self) -> bool:
        """Whether it is time to show something."""
        return time.monotonic() >= self._next

    def show(self, position: int, epoch: int, figures: str) -> None:
        """``position`` steps are done, in ``epoch`` (from 1)."""
        self._now = time.monotonic()
        if self._first is None:  # what comes before the end of the first step is no step's time
            self._first, self._begun = position, self._now
        self._show(position, epoch, figures)
        self._next = self._now + self.interval

    def left(self, position: int) -> str:
        """The time that the other steps will take at the pace so far, evaluations and all; - after the first step."""
        done = position - (self._first or 0)
        return clock((self._now - self._begun) / done * (self.steps - position)) if done else "-"

    def say(self, line: str) -> None:
        """A line that stays."""
        self.console.print(line, highlight=False, markup=False, soft_wrap=True)

    @abstractmethod
    def _show(self, position: int, epoch: int, figures: str) -> None: ...

    def close(self) -> None:  # noqa: B027 - lines need no end
        """The run is over."""


class LineDisplay(Display):
    """A line every few seconds, and of a long run once a minute."""

    @property
    def interval(self) -> float:
        """A twentieth of the time so far, from 5 seconds to 60."""
        return min(max((self._now - self._begun) / 20, 5.0), 60.0)

    def _show(self, position: int, epoch: int, figures: str) -> None:
        self.say(f"epoch {epoch}  step {position}/{self.steps}  {self.left(position)} left  {figures}")


class LiveDisplay(Display):
    """One line that stays in place, with a bar.

    Plain control codes, no hidden cursor and no thread: a job may end at any moment and must leave a terminal in order.
    """

    interval = 0.2

    def __init__(self, console: Console, *, steps: int) -> None:
        super().__init__(console, steps=steps)
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
        filled = BAR * position // max(self.steps, 1)
        bar = "\u2501" * filled + "\u2500" * (BAR - filled)
        self._line = f"epoch {epoch} {bar} {position}/{self.steps}  {self.left(position)} left  {figures}"
        self._write(self._line)

    def _write(self, line: str) -> None:
        self.console.file.write(CLEAR + line[: self.console.width - 1])
        self.console.file.flush()


def clock(seconds: float) -> str:
    """``0:07``, ``12:30`` or ``3:05:00``."""
    hours, rest = divmod(int(seconds), HOUR)
    minutes, rest = divmod(rest, MINUTE)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def display(console: Console, *, steps: int) -> Display:
    """The display that suits the console."""
    return (LiveDisplay if console.is_terminal else LineDisplay)(console, steps=steps)
