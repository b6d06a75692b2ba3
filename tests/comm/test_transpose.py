"""The transpose law across ranks: <dy, J v> == <J^T dy, v>, where J is a collective and J^T its transpose.

The inner products run over all ranks, in float64. A collective that only moves values pairs the same factors on both
sides, so there the law holds exactly; sums are rounded.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import pytest
import torch
from torch import Tensor

from distbp.comm.base import Communicator, Name
from tests.pool import GROUPS, Pool

NAME = Name(0, "transpose")
N = 7  # elements of a block

Map = Callable[[Communicator, Tensor], Tensor]


def all_reduce(comm: Communicator, v: Tensor) -> Tensor:
    y = v.clone()
    comm.all_reduce(y, name=NAME).wait()
    return y


def all_gather(comm: Communicator, v: Tensor) -> Tensor:
    y = torch.zeros(comm.size * v.numel(), dtype=v.dtype)
    comm.all_gather(y, v, name=NAME).wait()
    return y


def reduce_scatter(comm: Communicator, v: Tensor) -> Tensor:
    y = torch.zeros(v.numel() // comm.size, dtype=v.dtype)
    comm.reduce_scatter(y, v, name=NAME).wait()
    return y


def broadcast(comm: Communicator, v: Tensor) -> Tensor:
    """``y_r = v_root``, with the last rank for a root."""
    y = v.clone()
    comm.broadcast(y, name=NAME, root=comm.size - 1).wait()
    return y


def reduce(comm: Communicator, v: Tensor) -> Tensor:
    """``y_root = sum_r v_r``, and zero elsewhere."""
    y = all_reduce(comm, v)
    return y if comm.rank == comm.size - 1 else torch.zeros_like(y)


def counts(comm: Communicator) -> tuple[list[int], list[int]]:
    """Uneven counts that each rank sends and receives."""
    sent = [[(r + 2 * s) % 4 for s in range(comm.size)] for r in range(comm.size)]
    return sent[comm.rank], [row[comm.rank] for row in sent]


def exchange(comm: Communicator, v: Tensor) -> Tensor:
    sent, received = counts(comm)
    y = torch.zeros(sum(received), dtype=v.dtype)
    comm.all_to_all(y, v, name=NAME, received=received, sent=sent).wait()
    return y


def exchange_back(comm: Communicator, v: Tensor) -> Tensor:
    sent, received = counts(comm)
    y = torch.zeros(sum(sent), dtype=v.dtype)
    comm.all_to_all(y, v, name=NAME, received=sent, sent=received).wait()
    return y


class Pair(NamedTuple):
    """A collective, its transpose, and whether both only move values."""

    forward: Map
    transpose: Map
    length: Callable[[Communicator], int]
    exact: bool = False


PAIRS = {
    "all_reduce is its own": Pair(all_reduce, all_reduce, lambda comm: N),
    "all_gather, reduce_scatter": Pair(all_gather, reduce_scatter, lambda comm: N),
    "reduce_scatter, all_gather": Pair(reduce_scatter, all_gather, lambda comm: N * comm.size),
    "broadcast, reduce": Pair(broadcast, reduce, lambda comm: N),
    "reduce, broadcast": Pair(reduce, broadcast, lambda comm: N),
    "all_to_all, back": Pair(exchange, exchange_back, lambda comm: sum(counts(comm)[0]), exact=True),
    "all_to_all back, forth": Pair(exchange_back, exchange, lambda comm: sum(counts(comm)[1]), exact=True),
}


def inner(comm: Communicator, a: Tensor, b: Tensor) -> float:
    """The inner product over all ranks, rounded once."""
    products = comm.gather_json((a * b).tolist(), name=NAME)
    return math.fsum(product for part in products for product in part)


def law(comm: Communicator, pair_name: str) -> None:
    pair = PAIRS[pair_name]
    random = torch.Generator().manual_seed(comm.rank)
    v = torch.randn(pair.length(comm), dtype=torch.float64, generator=random)
    jv = pair.forward(comm, v)
    dy = torch.randn(jv.numel(), dtype=torch.float64, generator=random)
    left, right = inner(comm, dy, jv), inner(comm, pair.transpose(comm, dy), v)
    assert left == right if pair.exact else math.isclose(left, right, rel_tol=1e-12, abs_tol=1e-12)
    assert left != 0.0 or v.numel() == 0 or comm.size == 1, "nothing was compared"


@pytest.mark.parametrize("pair", PAIRS)
@pytest.mark.parametrize(("kind", "size"), GROUPS)
def test_transpose_law(pool: Pool, kind: str, size: int, pair: str) -> None:
    pool.run(kind, size, law, pair)
