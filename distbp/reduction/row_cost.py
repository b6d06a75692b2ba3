"""What the sum of one table's rows costs, way by way, in bytes that a rank receives."""

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from distbp.reduction.gathering import Gathering

Way = Literal["dense", "gathered", "union"]
WAYS: tuple[Way, ...] = ("dense", "gathered", "union")
NUMBER_BYTES = 8


@dataclass(frozen=True)
class RowCost:
    """Numbers that all ranks know alike, so that they choose alike."""

    height: int  # rows of the table
    row_bytes: int
    mark_bytes: int  # an element's, which says of a dense row that somebody has it
    ranks: int
    subtrees: int  # of all ranks
    longest: int  # the most rows of a rank

    @classmethod
    def of(cls, table: Tensor, gathering: Gathering) -> "RowCost":
        """For one table, (V, D), at one step."""
        return cls(
            height=table.shape[0],
            row_bytes=table.shape[1] * table.itemsize,
            mark_bytes=table.itemsize,
            ranks=gathering.comm.size,
            subtrees=sum(map(len, gathering.held)),
            longest=gathering.longest,
        )

    def bytes(self, way: Way, union: int) -> float:
        """``union`` is how many rows anybody has. A dense sum receives shares of all subtrees, then the sum itself."""
        numbers = self.ranks * self.longest * NUMBER_BYTES
        summed = self.subtrees / self.ranks + 1
        if way == "dense":
            return summed * self.height * (self.row_bytes + self.mark_bytes)
        if way == "gathered":
            return numbers + self.ranks * self.longest * self.row_bytes
        return numbers + summed * union * self.row_bytes

    def cheapest(self, union: int) -> Way:
        """The way that receives the fewest bytes."""
        return min(WAYS, key=lambda way: self.bytes(way, union))
