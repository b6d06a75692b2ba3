"""The sum of rows is that of dense tables, bit for bit, by each of the three ways, however the parts lie on workers."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from distbp.comm import threads
from distbp.comm.base import Communicator
from distbp.data.order import leaves
from distbp.reduction.row_cost import WAYS, RowCost
from distbp.reduction.row_reducer import RowReducer
from distbp.rows import Rows, summed
from tests.pool import Pool
from tests.reduction.test_sums import slow_sum

WIDTH = 3


def looked_up(leaf: int, table: int, height: int, reads: int) -> tuple[Tensor, Tensor]:
    """The look-ups of one part in one table: low rows alone, often, magnitudes far apart, and -1 for padding."""
    draws = torch.Generator().manual_seed(100 * leaf + table)
    numbers = torch.randint(-1, min(height, 40), (reads,), generator=draws)
    exponents = torch.randint(-9, 10, (reads, WIDTH), generator=draws)
    return numbers, torch.randn(reads, WIDTH, generator=draws) * 2.0**exponents


def densely(numbers: Tensor, values: Tensor, height: int) -> Tensor:
    there = numbers >= 0
    return torch.zeros(height, WIDTH).index_add_(0, numbers[there], values[there])


def sums_are_those_of_dense_tables(
    comm: Communicator, heights: list[int], reads: list[int], present: list[bool], way: str | None
) -> dict[str, str]:
    """On this rank; returns the way of each table. ``reads`` are the look-ups of the parts, one after the other."""
    tables = {f"t{i}": torch.empty(height, WIDTH) for i, height in enumerate(heights)}
    reducer = RowReducer(tables, comm, way=way)
    of_part = {leaf: reads[leaf % len(reads)] for leaf, there in enumerate(present) if there}
    for step in range(2):  # what a step leaves does not change the next
        for leaf in leaves(len(present), comm.size, comm.rank):
            if leaf in of_part:
                reducer.note(
                    leaf, {f"t{i}": summed(*looked_up(leaf, i, h, of_part[leaf])) for i, h in enumerate(heights)}
                )
        reducer.sum_all(tuple(present), step=step)
        for i, height in enumerate(heights):
            look_ups = {leaf: looked_up(leaf, i, height, n) for leaf, n in of_part.items()}
            dense = {leaf: densely(*look_up, height) for leaf, look_up in look_ups.items()}
            expected = slow_sum(dense, 0, 1 << (len(present) - 1).bit_length())
            total = reducer.total[f"t{i}"]
            read = torch.cat([numbers for numbers, _ in look_ups.values()]).unique()
            assert torch.equal(total.numbers, read[read >= 0])
            assert torch.equal(total.dense(tables[f"t{i}"]).view(torch.int32), expected.view(torch.int32)), "bits"
    return reducer.ways


@settings(max_examples=40)
@given(
    size=st.integers(1, 5),
    heights=st.lists(st.integers(1, 40), min_size=1, max_size=3),
    reads=st.lists(st.integers(0, 30), min_size=1, max_size=4),
    present=st.lists(st.booleans(), min_size=1, max_size=9).filter(any),
    way=st.sampled_from([None, *WAYS]),
)
def test_any_look_ups_on_any_workers_by_any_way(*, size, heights, reads, present, way):
    ways = threads.run(size, sums_are_those_of_dense_tables, heights, reads, present, way)
    assert len({tuple(of_rank.items()) for of_rank in ways}) == 1, "the ranks choose together"


@pytest.mark.parametrize("way", [None, *WAYS])
@pytest.mark.parametrize(("kind", "size"), [("mpi", 2), ("mpi", 3), ("torch", 2)])
def test_processes(pool: Pool, kind: str, size: int, way: str | None) -> None:
    pool.run(kind, size, sums_are_those_of_dense_tables, [1000, 7], [50, 0, 200], [True, False, True, True, True], way)


@pytest.mark.parametrize(
    ("size", "height", "reads", "way"),
    [
        (2, 10_000, 20, "gathered"),
        (2, 10, 500, "dense"),  # every row is read
        (4, 10_000, 600, "union"),  # all read much the same rows
    ],
)
def test_the_cheapest_way_is_taken(size, height, reads, way):
    for ways in threads.run(size, sums_are_those_of_dense_tables, [height], [reads], [True] * size, None):
        assert ways == {"t0": way}


def test_the_bytes_are_counted():
    """Two ranks with a subtree of 10 rows each: 64 floats a row, and a table of 1,000."""
    cost = RowCost(height=1000, row_bytes=256, mark_bytes=4, ranks=2, subtrees=2, longest=10)
    assert cost.bytes("gathered", 15) == 2 * 10 * (8 + 256)
    assert cost.bytes("union", 15) == 2 * 10 * 8 + 2 * 15 * 256
    assert cost.bytes("dense", 15) == 2 * 1000 * 260
    assert cost.cheapest(15) == "gathered"


def test_equal_numbers_are_added_in_their_order_and_no_zero_is_negative():
    values = torch.tensor([[1e8], [-0.0], [1.0], [-1e8]])
    rows = summed(torch.tensor([4, 2, 4, 4], dtype=torch.int32), values)
    assert rows.numbers.tolist() == [2, 4]
    assert rows.values.tolist() == [[0.0], [0.0]], "in another order the second is 1"
    assert not torch.signbit(rows.values).any()
    assert rows.plus(Rows(torch.tensor([0]), torch.ones(1, 1))).numbers.tolist() == [0, 2, 4]
