"""What one worker makes of its own parts of a batch: their gradients, summed as the tree says, and a row for each."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from distbp.data.part import Part, pieces
from distbp.engines.base import Destination, Engine
from distbp.reduction.reducer import Reducer, Slot
from distbp.reduction.row_reducer import RowReducer
from distbp.training.carried_state import CarriedState
from distbp.training.moving_buffers import MovingBuffers

COLUMNS = 5  # of a part's row: loss, count, whether it has samples, whether a sum is broken, whether to stop


@dataclass(frozen=True)
class OwnParts:
    """A part's gradients go to a slot of ``reducer``, the changes of buffers with them, and rows of tables to ``rows``.

    A part of several ``micro_batches`` is summed by itself before it joins others.
    """

    engine: Engine
    reducer: Reducer
    buffers: MovingBuffers
    rows: RowReducer
    carried: CarriedState
    micro_batches: int
    min_part: int

    @property
    def joins(self) -> bool:
        """Whether a part's gradients are added to those of the parts before it as they are formed."""
        return self.micro_batches == 1 and not self.reducer.order.apart

    def sum(
        self, parts: Sequence[Part], present: tuple[bool, ...], *, look: Callable[[Slot], object] | None = None
    ) -> list[list[float]]:
        """These parts of this worker's, each to its slot, or where there is a ``look`` to one of its own, which it is
        shown before that is added to others; a row for each.

        It has the sum of the part's loss, its count, whether it has samples, and places for what is found out later.
        """
        by_leaf = {part.index: part for part in parts}
        table = [[0.0] * COLUMNS for _ in present]

        def fill(leaf: int, slot: Slot, *, join: bool = False) -> None:
            self._fill(by_leaf[leaf], slot, table[leaf], join=join)
            if look:
                look(slot)

        self.reducer.sum_own(present, fill, partial(fill, join=True) if self.joins and not look else None)
        return table

    def _fill(self, part: Part, slot: Slot, row: list[float], *, join: bool = False) -> None:
        """One part, piece by piece: gradients and changes of buffers to its slot, loss and count to its row."""
        row[2] = len(part) > 0
        cut = pieces(part, self.micro_batches, self.min_part)
        for number, (piece, state) in enumerate(zip(cut, self.carried.of(part, cut), strict=True)):
            add = join or number > 0
            outcome = self.engine.gradients(piece, Destination(slot.views, add=add, join=join), state)
            row[0] += float(outcome.loss_sum)
            row[1] += float(outcome.count)
            self.buffers.note(outcome, slot, part=part.index, piece=number, pieces=len(cut), add=add)
            self.rows.note(part.index, outcome.rows)
            self.carried.note(part, number, outcome.state)
        self.reducer.order.take(part.index, slot.buffers, row[1])
