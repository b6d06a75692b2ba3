"""Where a worker's time goes: each phase's milliseconds, taken where it says on the board where it stands."""

import time

from distbp.comm.board import Board


class Clock:
    """The phases of a step, one after the other; each lasts until the next begins."""

    def __init__(self, board: Board) -> None:
        self.board = board
        self._phase = "start"
        self._since = time.perf_counter()
        self._spent: dict[str, float] = {}

    def at(self, step: int, phase: str) -> None:
        """The phase ``phase`` of ``step`` begins."""
        now = time.perf_counter()
        self._spent[self._phase] = self._spent.get(self._phase, 0.0) + now - self._since
        self._phase, self._since = phase, now
        self.board.at(step, phase)

    def take(self) -> dict[str, float]:
        """Milliseconds in each phase that has ended since the last call."""
        spent, self._spent = self._spent, {}
        return {phase: 1e3 * seconds for phase, seconds in spent.items()}
