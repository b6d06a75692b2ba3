"""``threads.run``: what a rank raises is raised here, and nobody waits for those who have left."""

import threading
import time
from collections.abc import Callable

import pytest

from distbp.comm import threads
from distbp.comm.base import Communicator, Name

NAME = Name(0, "threads")


def meet(comm: Communicator) -> None:
    comm.barrier(name=NAME)


def rank_one(act: Callable[[], object]) -> Callable[[Communicator], None]:
    """A function in which rank 1 acts, and the others wait for it."""

    def function(comm: Communicator) -> None:
        if comm.rank == 1:
            act()
        meet(comm)

    return function


def fail() -> None:
    raise KeyError("made up")


@pytest.mark.parametrize("size", [1, 2, 5])
def test_results_come_in_order_of_rank(size: int) -> None:
    assert threads.run(size, lambda comm, word: (comm.rank, comm.size, word), "x") == [
        (rank, size, "x") for rank in range(size)
    ]


def test_the_first_failure_is_raised_and_the_others_leave() -> None:
    begun = time.monotonic()
    with pytest.raises(KeyError, match="made up"):
        threads.run(4, rank_one(fail), timeout=30.0)
    assert time.monotonic() - begun < 10.0


def test_a_rank_that_leaves_without_a_word_is_waited_for_until_the_time_out() -> None:
    with pytest.raises(TimeoutError, match=r"ranks \[0, 2\] of 3"):
        threads.run(3, lambda comm: None if comm.rank == 1 else meet(comm), timeout=0.2)


def test_a_rank_that_sleeps_is_named() -> None:
    awake = threading.Event()
    with pytest.raises(TimeoutError, match="1"):
        threads.run(2, rank_one(awake.wait), timeout=0.2)
    awake.set()


def test_groups_do_not_meet() -> None:
    def nested(comm: Communicator) -> list[int]:
        inner = threads.run(2, lambda other: other.gather_json(other.rank, name=NAME))
        return [*comm.gather_json(comm.rank, name=NAME), *inner[0]]

    assert threads.run(3, nested) == [[0, 1, 2, 0, 1]] * 3
