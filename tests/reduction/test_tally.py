"""The rows that workers write into memory they share are those that messages carry, bit for bit, turn after turn."""

import math
import random
import time
from dataclasses import replace

import pytest
import torch

from distbp.comm import threads
from distbp.comm.base import Communicator, Name
from distbp.data.order import leaves
from distbp.reduction.order import Library, Ordered
from distbp.reduction.reducer import exact_rows
from distbp.reduction.tally import Tally
from tests.pool import GROUPS, Pool

COLUMNS = 3
PARTS = [4, 9, 1, 300, 5]  # of successive batches: more than a page holds, too
TURNS = 60
ORDERS = {"ordered": Ordered, "library": Library}


def row(part: int, turn: int) -> list[float]:
    """What part ``part`` comes to: numbers of every kind."""
    draws = random.Random(1000 * turn + part)
    return [draws.uniform(-1, 1) * 2.0 ** draws.randint(-60, 60), float(part), draws.choice([math.inf, -0.0, 1.5])]


def own_rows(comm: Communicator, parts: int, turn: int) -> list[list[float]]:
    own = leaves(parts, comm.size, comm.rank)
    return [row(part, turn) if part in own else [0.0] * COLUMNS for part in range(parts)]


def rows_are_everyones(comm: Communicator, order: str) -> list[int]:
    """On this rank, for batches of several sizes; how many collectives it took on the board."""
    tally = Tally(COLUMNS, ORDERS[order](), comm)
    for turn, parts in enumerate(PARTS):
        if parts >= comm.size:
            tally.reserve(parts, step=turn)
            rows, name = own_rows(comm, parts, turn), Name(turn, "tally")
            told = tally.complete(rows, name=name)
            assert told == [row(part, turn) for part in range(parts)]
            assert told == exact_rows(torch.tensor(rows, dtype=torch.float64), comm, name=name).tolist()
    tally.reserve(comm.size, step=0)
    before = comm.board.read(comm.board.rank).collectives
    tally.complete(own_rows(comm, comm.size, 0), name=Name(0, "tally"))
    row_of_board = comm.board.read(comm.board.rank)
    return [row_of_board.collectives - before, int(row_of_board.waiting)]


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize(("kind", "size"), GROUPS)
def test_rows_are_everyones(pool: Pool, kind: str, size: int, order: str) -> None:
    assert pool.run(kind, size, rows_are_everyones, order) == [[1, 0]] * size


@pytest.mark.parametrize("per_node", [1, 2, 4])
def test_rows_are_everyones_on_any_nodes(per_node: int) -> None:
    threads.run(4, rows_are_everyones, "ordered", ranks_per_node=per_node)


def out_of_step(comm: Communicator) -> None:
    """Some rank or other is late, before it comes and before it reads, turn after turn."""
    tally = Tally(COLUMNS, Ordered(), comm)
    tally.reserve(comm.size, step=0)
    late, window = random.Random(comm.rank), tally._window

    def fence() -> None:
        window.fence()
        time.sleep(late.choice([0.0, 0.0, 0.002]))

    tally._window = replace(window, fence=fence)
    for turn in range(TURNS):
        time.sleep(late.choice([0.0, 0.0, 0.002]))
        told = tally.complete(own_rows(comm, comm.size, turn), name=Name(turn, "tally"))
        assert told == [row(part, turn) for part in range(comm.size)]


@pytest.mark.parametrize("kind", ["threads", "mpi"])
@pytest.mark.parametrize("size", [2, 3, 4])
def test_nobody_writes_what_another_still_reads(pool: Pool, kind: str, size: int) -> None:
    pool.run(kind, size, out_of_step)
