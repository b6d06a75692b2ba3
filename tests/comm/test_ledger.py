"""The ledger's verdict over tables of programs: who did not do what the others did, and in which step."""

import errno
import os
import tempfile
from pathlib import Path

import pytest
import torch

from distbp.comm.base import Name
from distbp.comm.board import Board
from distbp.comm.ledger import ENTRIES, TEXT, text
from distbp.errors import JobError

STEPS = 3
PROGRAM = [("sum", 64, 0), ("sum", 64, 1), ("all_reduce(sum)", 6, 0)]  # what, elements, bucket
RIGHT = [(step, *collective) for step in range(STEPS) for collective in PROGRAM]
LAST = (STEPS - 1) * len(PROGRAM)  # where the last step begins
FAULTS = {
    "leaves the first one out": RIGHT[:LAST] + RIGHT[LAST + 1 :],
    "leaves the last one out": [*RIGHT[: LAST - 1], *RIGHT[LAST:]],
    "leaves a step out": RIGHT[: LAST - 3] + RIGHT[LAST:],
    "crosses two": [*RIGHT[:LAST], RIGHT[LAST + 1], RIGHT[LAST], RIGHT[LAST + 2]],
    "another size": [*RIGHT[:-1], (STEPS - 1, "all_reduce(sum)", 7, 0)],
    "one too many": [*RIGHT[:LAST], (STEPS - 1, "barrier", 0, 0), *RIGHT[LAST:]],
}
STEP_OF = {"leaves the last one out": STEPS - 2, "leaves a step out": STEPS - 2}


def boards(size):
    path = Board.create(size)
    made = [Board.open(path, rank, range(size)) for rank in range(size)]
    path.unlink()
    return made


def enter(board, step, what, elements, bucket):
    board.enter(Name(step, "reduce", bucket), what, torch.float32, elements)


def run(programs):
    """All ranks, collective by collective, each leaving when all have come: the first error of each rank."""
    ranks = boards(len(programs))
    for collectives in zip(*programs, strict=False):
        for board, collective in zip(ranks, collectives, strict=True):
            enter(board, *collective)
        errors = [error for board in ranks if (error := left(board))]
        if errors:
            return errors
    return []


def left(board):
    try:
        board.leave()
    except JobError as error:
        return error
    return None


@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_equal_programs_agree(size):
    assert run([RIGHT * 30] * size) == []


@pytest.mark.parametrize("size", [2, 3, 5])
@pytest.mark.parametrize("wrong", [0, 1])
@pytest.mark.parametrize("fault", FAULTS)
def test_who_differs_is_named(fault, wrong, size):
    errors = run([FAULTS[fault] if rank == wrong else RIGHT for rank in range(size)])
    assert errors
    for error in errors:
        assert (error.rank, error.step, error.phase) == (wrong, STEP_OF.get(fault, STEPS - 1), "reduce"), error


def test_two_that_differ_from_the_beginning_are_both_named():
    (error, *_) = run([[(0, "sum", 64, 0)], [(0, "sum", 65, 0)]])
    assert (error.rank, error.step) == (1, 0)
    assert "sum of 65 float32" in str(error)
    assert "rank 0 entered sum of 64 float32" in str(error)
    assert "nothing tells which of the two is wrong" in str(error)


def test_a_rank_that_waits_sees_it_before_anything_is_complete():
    one, other = boards(2)
    enter(one, 4, "sum", 64, 0)
    assert one.dispute() is None
    enter(other, 4, "sum", 64, 1)
    assert "bucket 1" in str(one.dispute())


@pytest.mark.parametrize("ahead", [1, ENTRIES - 1, ENTRIES, 3 * ENTRIES])
def test_a_root_that_runs_ahead_is_no_fault(ahead):
    """A broadcast's root need not wait: the others compare when they come, as far as the ledger goes back."""
    root, other = boards(2)
    for step in range(ahead):
        enter(root, step, "broadcast(0)", 8, 0)
        root.leave()
    for step in range(ahead):
        assert other.dispute() is None
        enter(other, step, "broadcast(0)", 8, 0)
        other.leave()
    root.leave()


def test_an_entry_holds_the_longest_name():
    written = text("reduce_scatter(max)", torch.complex128, 2**62, "p" * 24, 2**31 - 1)
    assert len(written) <= TEXT.stop


def test_a_board_lies_where_there_is_room(monkeypatch):
    """Where /dev/shm is full, in the temporary folder: a store into a page that is none would be a bus error."""
    really = os.write

    def full(descriptor, data):
        if Path(f"/proc/self/fd/{descriptor}").readlink().is_relative_to("/dev/shm"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return really(descriptor, data)

    before = set(Path("/dev/shm").glob("distbp-board-*"))
    with monkeypatch.context() as patched:
        patched.setattr(os, "write", full)
        path = Board.create(2)
    assert path.parent == Path(tempfile.gettempdir())
    assert set(Path("/dev/shm").glob("distbp-board-*")) == before
    assert path.stat().st_blocks * 512 >= path.stat().st_size > 0
    Board.open(path, 0, [0, 1]).at(3, "data")
    path.unlink()
