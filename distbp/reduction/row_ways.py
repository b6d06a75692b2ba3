"""Three ways for the rows of one table from many workers to one sum; all three give the same bits.

*dense*: the whole table is summed. *gathered*: every rank sends all its rows to all, and each adds them up. *union*:
every rank sends its row numbers to all; the rows that anybody has are then summed as a small table. The order of every
sum is the tree's.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from distbp.reduction.gathering import Gathering
from distbp.reduction.row_cost import RowCost, Way
from distbp.reduction.tree import tree
from distbp.rows import Rows, none_of


def sum_rows(table: Tensor, roots: Sequence[Rows], gathering: Gathering, *, way: Way | None = None) -> tuple[Way, Rows]:
    """The sum over all ranks of the rows that each has for its subtrees, and the way that was taken.

    By default that is the cheapest. How many rows the union has is known once the numbers are gathered; until then it
    is taken for as small as it can be: what is the cheapest with that is the cheapest, if it is dense.
    """
    none = none_of(table)
    if not gathering.most:
        return way or "gathered", none  # nobody has any
    cost = RowCost.of(table, gathering)
    if (way or cost.cheapest(gathering.most)) == "dense":
        return "dense", dense(table, roots, gathering)
    numbers = gathering.all_gather(torch.cat([none.numbers, *(root.numbers for root in roots)]))
    anybodys = torch.unique(torch.cat([n for of_rank in numbers for n in of_rank]))
    way = way or cost.cheapest(anybodys.numel())
    if way == "dense":
        return way, dense(table, roots, gathering)
    if way == "union":
        return way, union(table, roots, anybodys, gathering)
    values = gathering.all_gather(torch.cat([none.values, *(root.values for root in roots)]))
    return way, folded(numbers, values, gathering)


def dense(table: Tensor, roots: Sequence[Rows], gathering: Gathering) -> Rows:
    """The whole table, with a column more, which counts who has the row."""
    wide = table.new_zeros(table.shape[0], table.shape[1] + 1)
    marked = [Rows(r.numbers, torch.nn.functional.pad(r.values, (0, 1), value=1.0)).dense(wide) for r in roots]
    total = gathering.sum_dense(marked, wide)
    numbers = total[:, -1].nonzero().view(-1)
    return Rows(numbers, total.index_select(0, numbers)[:, :-1].contiguous())


def union(table: Tensor, roots: Sequence[Rows], anybodys: Tensor, gathering: Gathering) -> Rows:
    """A table of the rows that anybody has, each at the place of its number among ``anybodys``."""
    small = table.new_zeros(anybodys.numel(), table.shape[1])
    parts = [Rows(torch.searchsorted(anybodys, root.numbers), root.values).dense(small) for root in roots]
    return Rows(anybodys, gathering.sum_dense(parts, small))


def folded(numbers: Sequence[Sequence[Tensor]], values: Sequence[Sequence[Tensor]], gathering: Gathering) -> Rows:
    """The sum of everybody's rows, which are all here: by rank and subtree."""
    found = {
        node: Rows(numbers[rank][k], values[rank][k])
        for rank, nodes in enumerate(gathering.held)
        for k, node in enumerate(nodes)
    }
    total = tree(gathering.present).fold(found, Rows.plus)
    assert total is not None, "a batch has at least one part"
    return total
