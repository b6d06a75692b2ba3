"""What each part of a batch comes to besides its gradient (its loss, its count ...), known to every worker."""

from collections.abc import Sequence

import numpy as np
import torch

from distbp.comm.base import Communicator, Name
from distbp.comm.window import Window
from distbp.data.order import leaves
from distbp.reduction.order import Order
from distbp.reduction.reducer import exact_rows

PAGE = 1 << 12  # bytes: room for many parts costs no more than for one
WORD = 8  # bytes of a float64

Rows = Sequence[Sequence[float]]
"""A row of numbers for each part."""


class Tally:
    """A table with a row of ``columns`` numbers for each part, of which each worker fills those of its own parts.

    Where one node has all workers, and they share memory, the table lies there: each writes its rows, all meet, and
    each reads. Elsewhere the rows are messages. Two tables take turns: who is ahead writes to the other one while a
    late worker still reads, and cannot come back to this one before all have met at the other.
    """

    def __init__(self, columns: int, order: Order, comm: Communicator) -> None:
        self.columns = columns
        self._order = order
        self._comm = comm
        self._window = Window.private(torch.empty(0, dtype=torch.uint8), comm)
        self._tables = np.empty((2, 0, columns))
        self._turn = 0

    def reserve(self, parts: int, *, step: int) -> None:
        """Have room for so many parts. Collective."""
        if parts <= self._tables.shape[1]:
            return
        room = max(parts, PAGE // WORD // self.columns)
        size = 2 * room * self.columns * WORD
        self._window = self._order.allocate(size, self._comm, name=Name(step, "reserve"))
        block = self._window.blocks[0] if self._window.shared else torch.empty(size, dtype=torch.uint8)
        self._tables = block.view(torch.float64).view(2, room, self.columns).numpy()

    def complete(self, rows: Rows, *, name: Name) -> list[list[float]]:
        """The rows of all workers' parts, of which this worker has filled its own and left the others zero. Collective.

        ``rows`` has one for each part, as many on every worker.
        """
        if self._window.shared and self._window.across.size == 1:
            return self._meet(rows, name)
        table = torch.tensor(rows, dtype=torch.float64, device=self._comm.device)
        told: list[list[float]] = exact_rows(table, self._comm, name=name).tolist()
        return told

    def _meet(self, rows: Rows, name: Name) -> list[list[float]]:
        self._comm.board.enter(name, "tally", torch.float64, len(rows) * self.columns)
        table = self._tables[self._turn]
        for part in leaves(len(rows), self._comm.size, self._comm.rank):
            table[part] = rows[part]
        self._window.fence()
        told: list[list[float]] = table[: len(rows)].tolist()
        self._comm.board.leave()
        self._turn = 1 - self._turn
        return told
