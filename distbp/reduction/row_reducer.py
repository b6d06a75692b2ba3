"""From the rows of many parts on many workers to one sum of rows, table by table.

Within a worker and between workers the rows are added in the tree's order, so that the sum has the bits of a dense one.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from distbp.comm.base import Communicator, Name
from distbp.reduction.exchange import Exchange
from distbp.reduction.gathering import Gathering
from distbp.reduction.row_cost import Way
from distbp.reduction.row_ways import sum_rows
from distbp.reduction.subtrees import ranks, subtrees
from distbp.reduction.tree import Node, tree
from distbp.rows import Rows, none_of

PHASE = "rows"


class RowReducer:
    """Sums rows of named ``tables`` over all parts of all workers.

    For each table and step the ranks choose the way that moves the fewest bytes, from numbers that all of them know;
    ``way`` names one that is always taken. Where the order of sums is the library's, that of rows is the tree's still.
    """

    def __init__(self, tables: Mapping[str, Tensor], comm: Communicator, *, way: Way | None = None) -> None:
        self.tables = dict(tables)
        self.total = {name: none_of(table) for name, table in self.tables.items()}
        self.ways: dict[str, Way] = {}  # that the last sum has taken
        self._comm = comm
        self._exchange = Exchange()
        self._way = way
        self._parts: dict[int, dict[str, Rows]] = {}

    def begin(self) -> None:
        """A step begins: what one that failed has noted is of no sum."""
        self._parts.clear()

    def note(self, leaf: int, rows: Mapping[str, Rows]) -> None:
        """Rows of part ``leaf``, added to what the part has given before."""
        part = self._parts.setdefault(leaf, {})
        for name, found in rows.items():
            part[name] = part[name].plus(found) if name in part else found

    def noted(self) -> dict[str, Tensor]:
        """The values, (U, D), of all rows noted since the last sum, by table. They are not summed any more."""
        parts = [*self._parts.values()]
        self._parts.clear()
        found = {name: [rows[name].values for rows in parts if name in rows] for name in self.tables}
        return {name: torch.cat([none_of(self.tables[name]).values, *values]) for name, values in found.items()}

    def sum_all(self, present: tuple[bool, ...], *, step: int) -> None:
        """From every worker's parts to the sum over all parts, in ``total`` on every worker. Collective."""
        if not self.tables:
            return
        held = subtrees(present, ranks(self._comm.size))
        own = {name: self._own(name, present, held[self._comm.rank]) for name in self.tables}
        self._parts.clear()
        if self._comm.size == 1:
            self.total = {name: roots[0] for name, roots in own.items()}
            return
        counts = self._counts([*own.values()], held, step)
        for number, (name, roots) in enumerate(own.items()):
            collective = Name(step, PHASE, number)
            gathering = Gathering(self._comm, self._exchange, held, present, counts[number], collective)
            self.ways[name], self.total[name] = sum_rows(self.tables[name], roots, gathering, way=self._way)

    def _own(self, name: str, present: tuple[bool, ...], nodes: Sequence[Node]) -> list[Rows]:
        """The sums of this worker's subtrees, from left to right."""
        none = none_of(self.tables[name])
        leaves = {Node(0, leaf): rows.get(name, none) for leaf, rows in self._parts.items()}
        sums = [tree(present).fold(leaves, Rows.plus, at=node) for node in nodes]
        assert all(found is not None for found in sums), "every part has been noted"
        return [found for found in sums if found is not None]

    def _counts(self, own: Sequence[Sequence[Rows]], held: Sequence[Sequence[Node]], step: int) -> Any:
        """How many rows each subtree has of each table.   -> (tables, ranks, most subtrees of a rank)"""
        mine = torch.zeros(len(own), max(map(len, held)), dtype=torch.int64)
        for table, roots in zip(mine, own, strict=True):
            table[: len(roots)] = torch.tensor([root.numbers.numel() for root in roots])
        everyones = torch.empty(self._comm.size, *mine.shape, dtype=torch.int64, device=self._comm.device)
        self._comm.all_gather(everyones, mine.to(everyones.device), name=Name(step, PHASE)).wait()
        return everyones.transpose(0, 1).tolist()
