"""How the progress of a run is shown: one live line on a terminal, a line now and then elsewhere."""

import time
from abc import ABC, abstractmethod

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn


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

    @abstractmethod
    def _show(self, position: int, epoch: int, figures: str) -> None: ...

    def close(self) -> None:  # noqa: B027 - lines need no end
        """The run is over."""


class LineDisplay(Display):
    """A line every few seconds."""

    interval = 5.0

    def _show(self, position: int, epoch: int, figures: str) -> None:
        self.console.print(f"epoch {epoch}  step {position}/{self.steps}  {figures}", highlight=False, soft_wrap=True)


class LiveDisplay(Display):
    """One line that stays in place, with a bar and the time that is left."""

    interval = 0.2

    def __init__(self, console: Console, *, steps: int) -> None:
        super().__init__(console, steps=steps)
        self._progress = Progress(
            TextColumn("epoch {task.fields[epoch]}"),
            BarColumn(bar_width=16),
            TextColumn("{task.completed:.0f}/{task.total:.0f}"),
            TextColumn("{task.fields[figures]}"),
            TimeRemainingColumn(compact=True),
            console=console,
            transient=True,
        )
        self._task = self._progress.add_task("", total=steps, epoch=1, figures="")
        self._progress.start()

    def _show(self, position: int, epoch: int, figures: str) -> None:
        self._progress.update(self._task, completed=position, epoch=epoch, figures=figures)

    def close(self) -> None:
        """Leave the terminal as it was."""
        self._progress.stop()


def display(console: Console, *, steps: int) -> Display:
    """The display that suits the console."""
    return (LiveDisplay if console.is_terminal else LineDisplay)(console, steps=steps)
