"""The pool's promises: every rank runs the function, all fail together, and a hang ends soon."""

import os
import time
from pathlib import Path

import pytest

from distbp.comm.base import Communicator, Name
from tests.pool import GROUPS, Pool, RankError

LAUNCHED = [("mpi", 2), ("torch", 2)]


def describe(comm: Communicator, word: str) -> list[object]:
    return [comm.kind, comm.rank, comm.size, word]


def raise_on_last(comm: Communicator) -> None:
    if comm.rank == comm.size - 1:
        raise ValueError("made up")
    comm.barrier(name=Name(0, "test"))


def die_on_last(comm: Communicator) -> None:
    if comm.rank == comm.size - 1:
        os._exit(0)
    comm.barrier(name=Name(0, "test"))


def sleep_on_last(comm: Communicator) -> None:
    if comm.rank == comm.size - 1:
        time.sleep(1000)
    comm.barrier(name=Name(0, "test"))


def process(comm: Communicator) -> int:
    return os.getpid()


def runs(pid: int) -> bool:
    """Whether the process is there, and more than an entry that nobody has collected."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize(("kind", "size"), GROUPS)
def test_every_rank_runs_the_function(pool: Pool, kind: str, size: int) -> None:
    assert pool.run(kind, size, describe, "wörd") == [[kind, rank, size, "wörd"] for rank in range(size)]


@pytest.mark.parametrize(("kind", "size"), LAUNCHED)
def test_ranks_stay(pool: Pool, kind: str, size: int) -> None:
    assert pool.run(kind, size, process) == pool.run(kind, size, process)


@pytest.mark.parametrize(("kind", "size"), [("threads", 2), *LAUNCHED])
def test_one_rank_fails_and_all_fail_with_its_traceback(pool: Pool, kind: str, size: int) -> None:
    with pytest.raises(RankError, match="ValueError: made up"):
        pool.run(kind, size, raise_on_last)
    assert len(pool.run(kind, size, describe, "again")) == size


@pytest.mark.parametrize(("kind", "size"), LAUNCHED)
def test_a_rank_that_leaves_is_named(pool: Pool, kind: str, size: int) -> None:
    with pytest.raises(RankError, match="rank 1: the process has ended"):
        pool.run(kind, size, die_on_last)


@pytest.mark.parametrize(("kind", "size"), LAUNCHED)
def test_a_hang_is_named_shown_and_ended(pool: Pool, kind: str, size: int) -> None:
    ranks = pool.run(kind, size, process)
    with pytest.raises(RankError, match=r"did not answer") as failure:
        pool.run(kind, size, sleep_on_last, timeout=1.0)
    assert "sleep_on_last" in str(failure.value).split("did not answer")[1], "the stack of the rank that hangs"
    deadline = time.monotonic() + 5.0
    while any(runs(pid) for pid in ranks):
        assert time.monotonic() < deadline, "a rank outlived its pool"
        time.sleep(0.05)
