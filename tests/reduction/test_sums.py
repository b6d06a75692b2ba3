"""The sum over all workers is that of the plain recursion, bit for bit, however they lie on nodes."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from distbp.comm import threads
from distbp.comm.base import Communicator, Name
from distbp.comm.window import Window
from distbp.reduction.layout import plan
from distbp.reduction.order import Library, Order, Ordered
from distbp.reduction.reducer import Reducer
from tests.pool import Pool

DTYPES = {str(dtype): dtype for dtype in (torch.float32, torch.float64, torch.bfloat16, torch.float16)}


def gradient(leaf: int, name: str, like: Tensor) -> Tensor:
    """What part ``leaf`` gives for a tensor: magnitudes far apart, so that a sum shows its order."""
    draws = torch.Generator().manual_seed(1000 * leaf + sum(name.encode()))
    exponents = torch.randint(-4, 5, like.shape, generator=draws)
    return (torch.randn(like.shape, generator=draws, dtype=torch.float64) * 2.0**exponents).to(like.dtype)


def slow_sum(values: dict[int, Tensor], low: int, high: int) -> Tensor | None:
    """The definition: a part, or the sum of the halves that are there."""
    if high - low == 1:
        return values.get(low)
    middle = (low + high) // 2
    halves = [half for half in (slow_sum(values, low, middle), slow_sum(values, middle, high)) if half is not None]
    return None if not halves else halves[0] if len(halves) == 1 else halves[0] + halves[1]


def tensors_of(lengths: list[int], dtypes: list[str]) -> list[tuple[str, Tensor]]:
    return [(f"t{i}", torch.empty(length, dtype=DTYPES[dtypes[i % len(dtypes)]])) for i, length in enumerate(lengths)]


def sums_are_those_of_the_recursion(  # noqa: PLR0917 - JSON passes arguments in order
    comm: Communicator,
    lengths: list[int],
    dtypes: list[str],
    bucket_bytes: int,
    batches: list[list[bool]],
    kept: int,
    scattered: int = 0,
) -> bool:
    """On this rank, for each batch; whether memory was shared. No slot moves, and padding cannot leak in.

    Of the first ``scattered`` layouts the rank need have its own shares alone.
    """
    tensors = tensors_of(lengths, dtypes)
    reducer = Reducer(plan(tensors, bucket_bytes=bucket_bytes, size=comm.size), comm, Ordered())
    reducer.scatter(scattered)
    places = [buffer.data_ptr() for buffer in reducer.total.buffers]
    for step, present in enumerate(map(tuple, batches)):
        reducer.reserve(present, step=step)

        def fill(leaf, slot):
            for name, view in slot.views.items():
                view.copy_(gradient(leaf, name, view))

        def join(leaf, slot):
            for name, view in slot.views.items():
                view.add_(gradient(leaf, name, view))

        for turn in range(kept):  # what a step leaves does not change the next
            reducer.sum_own(present, fill, join if (turn + step) % 2 else None)
            reducer.sum_all(present, step=step)
            comm.barrier(name=Name(step, "test"))  # as scattered sums want before anybody writes again
        width = 1 << (len(present) - 1).bit_length()
        for number, (layout, found) in enumerate(zip(reducer.layouts, reducer.total.buffers, strict=True)):
            expected, mine = found.clone(), torch.full_like(found, number >= scattered, dtype=torch.bool)
            for start, stop in layout.buckets:
                mine[start:stop].view(len(reducer.total.twins), -1)[reducer.total.window.place] = True
            for name, view in layout.views(expected).items():
                parts = {v: gradient(v, name, view) for v, there in enumerate(present) if there}
                view.copy_(slow_sum(parts, 0, width))
            assert torch.equal(found[mine], expected[mine]), (present, number)
        comm.barrier(name=Name(step, "test"))
    assert [buffer.data_ptr() for buffer in reducer.total.buffers] == places
    return reducer.total.window.shared


PRESENT = st.lists(st.booleans(), min_size=1, max_size=9).filter(any)


@settings(max_examples=150)
@given(
    size=st.integers(1, 5),
    per_node=st.integers(1, 5),
    lengths=st.lists(st.integers(0, 200), min_size=1, max_size=4),
    dtypes=st.lists(st.sampled_from(sorted(DTYPES)), min_size=1, max_size=2),
    bucket_bytes=st.integers(1, 1000),
    batches=st.lists(PRESENT, min_size=1, max_size=3),
    scattered=st.integers(0, 2),
)
def test_any_parts_on_any_workers_on_any_nodes(*, size, per_node, lengths, dtypes, bucket_bytes, batches, scattered):
    shared = threads.run(
        size, sums_are_those_of_the_recursion, lengths, dtypes, bucket_bytes, batches, 2, scattered,
        ranks_per_node=per_node,
    )  # fmt: skip
    assert shared == [1 < per_node <= size and size % per_node == 0] * size


@pytest.mark.parametrize(("size", "per_node"), [(2, 2), (3, 3), (4, 2), (4, 4), (3, 1)])
def test_large_shares_are_summed_in_stretches(size, per_node):
    """More than one stretch, and a last one that is shorter."""
    threads.run(
        size, sums_are_those_of_the_recursion, [300_001, 7], ["torch.float32"], 2**20, [[True] * 4], 1,
        ranks_per_node=per_node,
    )  # fmt: skip


class ShortOfMemory(Ordered):
    """The second slot finds no shared memory."""

    def __init__(self) -> None:
        super().__init__()
        self.slots = 0

    def allocate(self, size: int, comm: Communicator, *, name: Name) -> Window:
        self.slots += 1
        return (
            super().allocate(size, comm, name=name) if self.slots != 2 else Order.allocate(self, size, comm, name=name)
        )


def sums_without_a_second_window(comm: Communicator) -> list[bool]:
    reducer = Reducer(plan(tensors_of([50, 3], ["torch.float32"]), bucket_bytes=64, size=2), comm, ShortOfMemory())
    place = reducer.total.buffers[0].data_ptr()
    for step, present in enumerate([(True, True), (True,) * 7, (True, True)]):
        reducer.reserve(present, step=step)
        reducer.sum_own(present, lambda leaf, slot: [view.fill_(2.0**leaf) for view in slot.views.values()])
        reducer.sum_all(present, step=step)
        assert all(torch.equal(v, torch.full_like(v, 2.0 ** len(present) - 1)) for v in reducer.total.views.values())
    assert reducer.total.buffers[0].data_ptr() == place, "the optimizer reads there"
    return [slot.window.shared for slot in reducer.slots]


def test_slots_of_which_one_is_not_shared_are_summed_by_messages():
    shared, *others = threads.run(2, sums_without_a_second_window)
    assert shared == [True, False, True]
    assert others == [shared]


@pytest.mark.parametrize("kind", ["mpi", "torch"])
@pytest.mark.parametrize("size", [2, 3, 4])
def test_processes(pool: Pool, kind: str, size: int) -> None:
    batches = [[True] * size, [True] * 5, [False, True, True, False, True, True, True], [True], [False] * 6 + [True]]
    shared = pool.run(kind, size, sums_are_those_of_the_recursion, [1000, 3, 70_000], sorted(DTYPES), 4000, batches, 2)
    assert shared == [True] * size


def library_sums(comm: Communicator, present: list[bool]) -> None:
    tensors = tensors_of([50, 3], ["torch.float64"])
    reducer = Reducer(plan(tensors, bucket_bytes=64, size=comm.size), comm, Library())
    reducer.reserve(tuple(present), step=0)
    for slot in reducer.slots:
        for buffer in slot.buffers:
            buffer.fill_(1e9)  # a worker without a part adds nothing
    reducer.sum_own(tuple(present), lambda leaf, slot: [view.fill_(2.0**leaf) for view in slot.views.values()])
    reducer.sum_all(tuple(present), step=0)
    expected = sum(2.0**leaf for leaf, there in enumerate(present) if there)
    assert all(torch.equal(view, torch.full_like(view, expected)) for view in reducer.total.views.values())
    assert not reducer.total.window.shared


@pytest.mark.parametrize("present", [[True] * 3, [True] * 7, [False, False, True, False], [True]], ids=str)
@pytest.mark.parametrize(("kind", "size"), [("threads", 2), ("threads", 3), ("mpi", 3)])
def test_the_library_sums_too(pool: Pool, kind: str, size: int, present: list[bool]) -> None:
    pool.run(kind, size, library_sums, present)
