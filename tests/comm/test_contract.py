"""What every communicator promises, in closed forms of the rank: with x = rank, a sum is n (n - 1) / 2.

Each function here runs on every rank and asserts there; the pool fails the test for all ranks together.
"""

import time
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from distbp.comm.base import Communicator, Name
from distbp.comm.staged import Staged
from tests.pool import GROUPS, Pool

NAME = Name(3, "test", 1)
DTYPES = [torch.float32, torch.float64, torch.bfloat16, torch.float16, torch.int64, torch.int32, torch.uint8]
K = 5  # elements of a block
UNICODE = 'Ünïcödé \u2211 \U0001f9ee \x00 " \\ \n'


def equal(result: Tensor, expected: Tensor) -> None:
    assert result.dtype == expected.dtype
    assert torch.equal(result, expected), f"{result} is not {expected}"


def total(comm: Communicator) -> int:
    """The sum of the ranks."""
    return comm.size * (comm.size - 1) // 2


def all_reduce_has_closed_forms(comm: Communicator) -> None:
    base = torch.arange(K)
    expected = {"sum": comm.size * base + total(comm), "max": base + comm.size - 1, "min": base}
    for dtype in DTYPES:
        for op, closed in expected.items():
            x = (base + comm.rank).to(dtype)
            comm.all_reduce(x, name=NAME, op=op).wait()  # type: ignore[arg-type]
            equal(x, closed.to(dtype))


def reduce_scatter_has_closed_forms(comm: Communicator) -> None:
    base = torch.arange(K * comm.size)
    own = base[comm.rank * K : (comm.rank + 1) * K]
    expected = {"sum": comm.size * own + total(comm), "max": own + comm.size - 1, "min": own}
    for dtype in DTYPES:
        for op, closed in expected.items():
            x, y = (base + comm.rank).to(dtype), torch.zeros(K, dtype=dtype)
            comm.reduce_scatter(y, x, name=NAME, op=op).wait()  # type: ignore[arg-type]
            equal(y, closed.to(dtype))
            equal(x, (base + comm.rank).to(dtype))


def all_gather_keeps_the_order_of_ranks(comm: Communicator) -> None:
    for dtype in [*DTYPES, torch.bool]:
        x, y = torch.full((K,), comm.rank).to(dtype), torch.zeros(comm.size * K, dtype=dtype)
        comm.all_gather(y, x, name=NAME).wait()
        equal(y, torch.arange(comm.size).repeat_interleave(K).to(dtype))


def all_to_all_moves_uneven_and_zero_counts(comm: Communicator) -> None:
    def count(source: int, target: int) -> int:
        return (source + 2 * target) % 3

    ranks = range(comm.size)
    sent, received = [count(comm.rank, s) for s in ranks], [count(s, comm.rank) for s in ranks]
    for dtype in DTYPES:
        x = torch.tensor([10 * comm.rank + s for s in ranks for _ in range(sent[s])]).to(dtype)
        y = torch.zeros(sum(received), dtype=dtype)
        comm.all_to_all(y, x, name=NAME, received=received, sent=sent).wait()
        equal(y, torch.tensor([10 * s + comm.rank for s in ranks for _ in range(received[s])]).to(dtype))


def all_to_all_lets_one_rank_receive_all(comm: Communicator) -> None:
    sent = [K] + [0] * (comm.size - 1)
    received = [K if comm.rank == 0 else 0] * comm.size
    x, y = torch.full((K,), float(comm.rank)), torch.zeros(sum(received))
    comm.all_to_all(y, x, name=NAME, received=received, sent=sent).wait()
    equal(y, torch.arange(float(comm.size)).repeat_interleave(K)[: sum(received)])


def broadcast_copies_the_roots(comm: Communicator) -> None:
    for root in range(comm.size):
        for dtype in [*DTYPES, torch.bool]:
            x = (torch.arange(K) + 10 * comm.rank).to(dtype)
            comm.broadcast(x, name=NAME, root=root).wait()
            equal(x, (torch.arange(K) + 10 * root).to(dtype))


def empty_tensors_pass(comm: Communicator) -> None:
    none = [0] * comm.size
    for dtype in DTYPES:
        x, y = torch.empty(0, dtype=dtype), torch.empty(0, dtype=dtype)
        comm.all_reduce(x, name=NAME).wait()
        comm.reduce_scatter(y, x, name=NAME).wait()
        comm.all_gather(y, x, name=NAME).wait()
        comm.all_to_all(y, x, name=NAME, received=none, sent=none).wait()
        comm.broadcast(x, name=NAME).wait()
    comm.barrier(name=NAME)


def halves_are_summed_in_float32(comm: Communicator) -> None:
    for dtype, large in ((torch.bfloat16, 256.0), (torch.float16, 2048.0)):  # large + 1 is not in the type
        exact = torch.tensor([large + comm.size - 1]).to(dtype)
        x = torch.tensor([large if comm.rank == 0 else 1.0]).to(dtype)
        y = torch.zeros(1, dtype=dtype)
        comm.reduce_scatter(y, x.repeat(comm.size), name=NAME).wait()
        comm.all_reduce(x, name=NAME).wait()
        equal(x, exact)
        equal(y, exact)


def slices_of_a_buffer_change_alone(comm: Communicator) -> None:
    """As a bucket does: a slice that begins anywhere."""
    for start in (1, 3, 16):
        flat = torch.zeros(64)
        flat[start : start + K] = comm.rank
        comm.all_reduce(flat[start : start + K], name=NAME).wait()
        expected = torch.zeros(64)
        expected[start : start + K] = total(comm)
        equal(flat, expected)


def shapes_are_kept(comm: Communicator) -> None:
    x = torch.full((2, 3), float(comm.rank))
    y, z = torch.zeros(comm.size, 2, 3), torch.zeros(2, 3)
    comm.all_gather(y, x, name=NAME).wait()
    comm.reduce_scatter(z, y, name=NAME).wait()
    comm.all_reduce(x, name=NAME).wait()
    equal(y, torch.arange(float(comm.size)).view(-1, 1, 1).expand(-1, 2, 3))
    equal(z, torch.full((2, 3), float(comm.size * comm.rank)))
    equal(x, torch.full((2, 3), float(total(comm))))


def scalars_pass(comm: Communicator) -> None:
    x = torch.tensor(comm.rank)
    comm.all_reduce(x, name=NAME).wait()
    equal(x, torch.tensor(total(comm)))


def parameters_are_updated_in_place(comm: Communicator) -> None:
    weight = torch.nn.Parameter(torch.full((K,), float(comm.rank)))
    comm.broadcast(weight, name=NAME, root=comm.size - 1).wait()
    equal(weight.detach(), torch.full((K,), float(comm.size - 1)))


def every_rank_has_the_same_bits(comm: Communicator) -> None:
    x = torch.randn(100_003, generator=torch.Generator().manual_seed(comm.rank))
    exact = sum(torch.randn(100_003, generator=torch.Generator().manual_seed(r)).double() for r in range(comm.size))
    comm.all_reduce(x, name=NAME).wait()
    torch.testing.assert_close(x.double(), exact, rtol=1e-5, atol=1e-6)
    copies = torch.empty(comm.size * x.numel())
    comm.all_gather(copies, x, name=NAME).wait()
    for copy in copies.view(comm.size, -1):
        equal(copy, x)


def several_works_may_be_under_way(comm: Communicator) -> None:
    tensors = [torch.full((1000,), float(comm.rank + b)) for b in range(4)]
    works = [comm.all_reduce(x, name=Name(0, "test", b)) for b, x in enumerate(tensors)]
    for b in reversed(range(4)):
        works[b].wait()
        equal(tensors[b], torch.full((1000,), float(total(comm) + b * comm.size)))


def nobody_leaves_a_barrier_before_all_have_come(comm: Communicator) -> None:
    time.sleep(0.02 * comm.rank)
    came = time.monotonic()
    comm.barrier(name=NAME)
    left = time.monotonic()
    times = comm.gather_json([came, left], name=NAME)
    assert max(came for came, _ in times) <= min(left for _, left in times)


def json_passes_whole(comm: Communicator) -> None:
    values = [None, True, 0.1, 1e300, 2**70, "", UNICODE, [], {"a": {"b": [1, None, "ü"]}}]
    for root in range(comm.size):
        for value in values:
            mine = value if comm.rank == root else "not this"
            assert comm.broadcast_json(mine, name=NAME, root=root) == value
    for value in values:
        gathered = comm.gather_json([comm.rank, [value] * comm.rank], name=NAME)
        assert gathered == [[rank, [value] * rank] for rank in range(comm.size)]


def large_json_passes(comm: Communicator) -> None:
    text = UNICODE * 100_000
    assert comm.broadcast_json(text if comm.rank == 0 else None, name=NAME) == text
    assert [len(part) for part in comm.gather_json("x" * (10**6 * comm.rank), name=NAME)] == [
        10**6 * rank for rank in range(comm.size)
    ]


def each_collective_is_entered_on_the_board(comm: Communicator) -> None:
    def row() -> tuple[object, ...]:
        row = comm.board.read(comm.board.rank)
        return row.step, row.phase, row.bucket, row.collectives, row.waiting

    entered = comm.board.read(comm.board.rank).collectives
    x = torch.ones(K)
    comm.all_reduce(x, name=Name(7, "reduce", 2)).wait()
    assert row() == (7, "reduce", 2, entered + 1, False)
    comm.barrier(name=Name(8, "end"))
    assert row() == (8, "end", 0, entered + 2, False)


CONTRACT: list[Callable[[Communicator], None]] = [
    all_reduce_has_closed_forms,
    reduce_scatter_has_closed_forms,
    all_gather_keeps_the_order_of_ranks,
    all_to_all_moves_uneven_and_zero_counts,
    all_to_all_lets_one_rank_receive_all,
    broadcast_copies_the_roots,
    empty_tensors_pass,
    halves_are_summed_in_float32,
    slices_of_a_buffer_change_alone,
    shapes_are_kept,
    scalars_pass,
    parameters_are_updated_in_place,
    every_rank_has_the_same_bits,
    several_works_may_be_under_way,
    nobody_leaves_a_barrier_before_all_have_come,
    json_passes_whole,
    large_json_passes,
    each_collective_is_entered_on_the_board,
]


@pytest.mark.parametrize("promise", CONTRACT, ids=lambda promise: promise.__name__)
@pytest.mark.parametrize(("kind", "size"), GROUPS)
def test_contract(pool: Pool, kind: str, size: int, promise: Callable[[Communicator], None]) -> None:
    pool.run(kind, size, promise)


def through_memory_of_the_host(comm: Communicator, promise: str) -> None:
    staged = Staged(comm, torch.device("cpu"))
    next(made for made in CONTRACT if made.__name__ == promise)(staged)


@pytest.mark.parametrize("promise", CONTRACT, ids=lambda promise: promise.__name__)
@pytest.mark.parametrize(("kind", "size"), [("threads", 3), ("mpi", 2), ("torch", 2)])
def test_contract_through_memory_of_the_host(
    pool: Pool, kind: str, size: int, promise: Callable[[Communicator], None]
) -> None:
    pool.run(kind, size, through_memory_of_the_host, promise.__name__)
