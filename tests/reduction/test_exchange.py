"""Two ways to sum by messages, at once and by shares: the same bits."""

import pytest
import torch

from distbp.comm import threads
from distbp.comm.base import Communicator, Name
from distbp.reduction import exchange
from distbp.reduction.exchange import Exchange, at_once
from distbp.reduction.subtrees import ranks, subtrees

N = 64


def summed(comm: Communicator, present: tuple[bool, ...]) -> list[float]:
    held = subtrees(present, ranks(comm.size))
    draws = torch.Generator().manual_seed(comm.rank)
    mine = [torch.randn(N, generator=draws) for _ in held[comm.rank]]
    total = mine[0] if mine else torch.empty(N)
    Exchange().sum(mine, held, present, total, comm, name=Name(0, "test"))
    return total.tolist()


@pytest.mark.parametrize("shards", [2, 4, 6, 8])
@pytest.mark.parametrize("size", [2, 4])
def test_both_ways_give_the_same_bits(monkeypatch: pytest.MonkeyPatch, size: int, shards: int) -> None:
    present = (True,) * max(size, shards)
    held = subtrees(present, ranks(size))
    whole = threads.run(size, summed, present)
    monkeypatch.setattr(exchange, "at_once", lambda total, held: False)
    assert threads.run(size, summed, present) == whole
    assert all(of_rank == whole[0] for of_rank in whole)
    assert at_once(torch.empty(N), held) == (len({len(nodes) for nodes in held}) == 1)


def test_much_is_sent_at_once_only_where_that_is_no_more() -> None:
    much = torch.empty(exchange.SMALL)  # four times as many bytes
    two, four, deep = (subtrees((True,) * shards, ranks(size)) for shards, size in ((4, 2), (4, 4), (3, 2)))
    assert at_once(much, two)
    assert not at_once(much, four)
    assert not at_once(torch.empty(4), deep), "one rank has two subtrees, the other one"
