"""The laws of the loader: what is trained on does not depend on who trains on it."""

import math
from itertools import accumulate
from threading import Event, Timer
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from distbp.data import order
from distbp.data.loader import Loader
from distbp.data.part import Part, apart, pieces, placed
from tests.data.counted import Counted

CPU = torch.device("cpu")


class Pair(NamedTuple):
    first: Tensor
    second: Tensor


def loader(n: int, batch_size: int, *, shards: int, rank: int = 0, size: int = 1, **settings: Any) -> Loader:
    return Loader(Counted(n), batch_size=batch_size, shards=shards, seed=5, rank=rank, size=size, **settings)


def numbers(part: Part) -> list[int]:
    return part.target["number"].tolist()  # type: ignore[no-any-return]


def assert_same_parts(ours: list[Part], theirs: list[Part]) -> None:
    assert [(part.index, part.draws) for part in ours] == [(part.index, part.draws) for part in theirs]
    for one, other in zip(ours, theirs, strict=True):
        assert all(map(torch.equal, one.inputs, other.inputs))
        assert torch.equal(one.target["number"], other.target["number"])


@given(st.integers(1, 50), st.integers(1, 4), st.integers(1, 8), st.integers(0, 4), st.integers(1, 3))
def test_each_sample_comes_exactly_once_an_epoch(n: int, size: int, batch: int, more: int, min_part: int) -> None:
    ranks = [
        loader(n, batch, shards=size + more, rank=rank, size=size, min_part=min_part).epoch(3) for rank in range(size)
    ]
    seen = [number for batches in ranks for batch in batches for part in batch.parts for number in numbers(part)]
    assert sorted(seen) == list(range(n))


@given(st.integers(1, 50), st.integers(2, 4), st.integers(1, 8), st.integers(0, 4), st.integers(1, 3))
def test_the_parts_do_not_depend_on_the_number_of_workers(
    n: int, size: int, batch: int, more: int, min_part: int
) -> None:
    settings = {"shards": size + more, "min_part": min_part}
    alone = list(loader(n, batch, **settings).epoch(2))
    together = zip(*(loader(n, batch, rank=rank, size=size, **settings).epoch(2) for rank in range(size)), strict=True)
    for whole, shares in zip(alone, together, strict=True):
        assert_same_parts(whole.parts, [part for share in shares for part in share.parts])
        assert {(share.number, share.step, share.samples, share.present) for share in shares} == {
            (whole.number, whole.step, whole.samples, whole.present)
        }


@given(st.integers(1, 50), st.integers(1, 8), st.integers(0, 50))
def test_the_rest_of_an_epoch_is_the_same_as_in_the_whole(n: int, batch: int, first: int) -> None:
    whole = list(loader(n, batch, shards=3).epoch(1))
    rest = list(loader(n, batch, shards=3).epoch(1, first))
    assert [b.step for b in rest] == [b.step for b in whole[first:]]
    for one, other in zip(rest, whole[first:], strict=True):
        assert_same_parts(one.parts, other.parts)


def test_the_batches_follow_the_permutation_and_the_last_one_is_ragged() -> None:
    batches = list(loader(10, 4, shards=2).epoch(2))
    seen = [number for batch in batches for part in batch.parts for number in numbers(part)]
    assert seen == order.permutation(10, seed=5, epoch=2).tolist()
    assert [batch.samples for batch in batches] == [4, 4, 2]
    assert [(batch.epoch, batch.number, batch.step) for batch in batches] == [(2, 0, 6), (2, 1, 7), (2, 2, 8)]


def test_an_empty_part_is_absent() -> None:
    batch = next(loader(3, 8, shards=4).epoch(0))
    assert batch.present == (False, True, True, True)
    assert [part.index for part in batch.parts] == [1, 2, 3]
    assert batch.samples == 3


def test_a_part_that_would_be_too_small_is_none() -> None:
    batch = next(loader(5, 8, shards=4, min_part=2).epoch(0))
    assert batch.present == (False, True, False, True)
    assert [len(part) for part in batch.parts] == [2, 3]


def test_draws_are_keyed_by_seed_step_and_part_and_by_seed_epoch_and_sample() -> None:
    for batch in loader(20, 6, shards=3).epoch(4):
        for part in batch.parts:
            assert part.draws == order.key(5, batch.step, part.index)
            expected = order.draws(20, 2, seed=5, epoch=4)[numbers(part)]
            assert torch.equal(part.inputs[1], torch.from_numpy(expected))


@given(st.integers(1, 30), st.integers(1, 5))
def test_every_tensor_of_a_part_begins_on_a_cache_line(n: int, shards: int) -> None:
    for batch in loader(n, 7, shards=shards).epoch(0):
        for part in batch.parts:
            assert_aligned(part)


def assert_aligned(part: Part) -> None:
    for tensor in (*part.inputs, part.target["number"]):
        assert tensor.is_contiguous()
        assert tensor.data_ptr() % 64 == 0


class Alone(Counted):
    """The same samples, which may only be asked for part by part."""

    pure = False


@given(st.integers(1, 60), st.integers(1, 9), st.integers(1, 4), st.integers(0, 3))
def test_what_is_made_ahead_is_what_is_made_when_asked_for(n: int, batch: int, shards: int, epoch: int) -> None:
    settings: dict[str, Any] = {"batch_size": batch, "shards": shards, "seed": 5, "rank": 0, "size": 1}
    ahead, alone = Loader(Counted(n), **settings), Loader(Alone(n), **settings)
    for number in (epoch, epoch + 1, epoch):
        for one, other in zip(ahead.epoch(number), alone.epoch(number), strict=True):
            assert (one.number, one.step, one.samples, one.present) == (
                other.number, other.step, other.samples, other.present,
            )  # fmt: skip
            assert_same_parts(one.parts, other.parts)


def test_blocks_are_bounded_and_end_with_the_epoch() -> None:
    split = Asked(100)
    list(Loader(split, batch_size=1, shards=1, seed=0, rank=0, size=1).epoch(0))
    assert split.asked[:4] == [1, 16, 16, 16]
    assert sum(split.asked[:8]) == 100
    assert split.asked[8:] in ([], [16])  # of the next epoch
    wide = Asked(12, width=1 << 18)  # 2 MB a sample
    list(Loader(wide, batch_size=1, shards=1, seed=0, rank=0, size=1).epoch(0))
    assert max(wide.asked) == 1
    rest = Asked(65, width=1 << 14)  # 0.25 MB a sample, 16 samples a batch, one in the last
    loader = Loader(rest, batch_size=16, shards=1, seed=0, rank=0, size=1)
    assert len([*loader.epoch(0, first=4), *loader.epoch(1)]) == 6
    assert max(rest.asked) == 16


class Asked(Counted):
    """It writes down how many samples it is asked for at once."""

    def __init__(self, n: int, width: int = 1) -> None:
        super().__init__(n)
        self.width = width
        self.asked: list[int] = []

    def batch(self, samples: np.ndarray, draws: np.ndarray) -> tuple[tuple[Tensor, ...], dict[str, Tensor]]:
        self.asked.append(len(samples))
        return (torch.zeros(len(samples), self.width, 2),), {"number": torch.from_numpy(samples)}


def test_an_epoch_that_is_left_reads_no_more() -> None:
    begun, go_on = Event(), Event()

    class Slow(Counted):
        busy = False

        def batch(self, samples: np.ndarray, draws: np.ndarray) -> tuple[tuple[Tensor, ...], dict[str, Tensor]]:
            if len(samples) > 1:  # of the second block
                self.busy = True
                begun.set()
                go_on.wait(10)
                self.busy = False
            return super().batch(samples, draws)

    split = Slow(100)
    loader = Loader(split, batch_size=1, shards=1, seed=0, rank=0, size=1)
    batches = loader.epoch(0)
    next(batches)
    begun.wait(10)
    Timer(0.05, go_on.set).start()
    assert split.busy
    batches.close()
    assert not split.busy
    assert len(list(loader.epoch(0))) == 100


def test_what_is_wrong_with_a_batch_is_said_when_its_turn_has_come() -> None:
    class Broken(Counted):
        def batch(self, samples: np.ndarray, draws: np.ndarray) -> tuple[tuple[Tensor, ...], dict[str, Tensor]]:
            if 9 in samples:
                raise ValueError("sample 9")
            return super().batch(samples, draws)

    turn = order.permutation(20, seed=0, epoch=0).tolist().index(9)
    batches = Loader(Broken(20), batch_size=1, shards=1, seed=0, rank=0, size=1).epoch(0)
    assert turn > 0
    assert next(batches).number == 0  # a block of its own; what is wrong is in the next one
    with pytest.raises(ValueError, match="sample 9"):
        next(batches)


@given(st.lists(st.integers(1, 9), min_size=1, max_size=5), st.sampled_from([(), (3,), (2, 8), (0,), (5, 5)]))
def test_parts_are_cut_as_if_each_had_been_placed_alone(sizes: list[int], shape: tuple[int, ...]) -> None:
    rows = [*accumulate(sizes, initial=0)]
    for dtype in (torch.uint8, torch.float32, torch.float64):
        tensor = torch.arange(rows[-1] * math.prod(shape)).view(rows[-1], *shape).to(dtype)
        value = ((tensor,), {"target": tensor[:, None]})
        for part, begin, end in zip(apart(value, sizes, CPU), rows, rows[1:], strict=False):
            (first,), target = part
            assert torch.equal(first, tensor[begin:end])
            assert torch.equal(target["target"], tensor[begin:end, None])
            for found in (first, target["target"]):
                assert found.is_contiguous()
                assert found.data_ptr() % 64 == 0


def test_more_workers_than_shards_is_no_loader() -> None:
    with pytest.raises(AssertionError):
        loader(10, 4, shards=2, rank=2, size=3)


def part_of(n: int) -> Part:
    (part,) = next(loader(n, n, shards=1).epoch(0)).parts
    return part


@given(st.integers(1, 30), st.integers(1, 10), st.integers(1, 4))
def test_the_micro_batches_of_a_part_are_its_samples_in_order(n: int, micro_batches: int, min_part: int) -> None:
    part = part_of(n)
    cut = pieces(part, micro_batches, min_part)
    assert [number for piece in cut for number in numbers(piece)] == numbers(part)
    assert torch.equal(torch.cat([piece.inputs[0] for piece in cut]), part.inputs[0])
    assert len(cut) == min(micro_batches, max(1, n // min_part))
    assert min(map(len, cut)) >= min(n, min_part)
    assert {piece.index for piece in cut} == {part.index}


def test_every_micro_batch_has_draws_and_memory_of_its_own() -> None:
    part = part_of(10)
    cut = pieces(part, 4)
    assert len({part.draws, *(piece.draws for piece in cut)}) == 5
    for piece in cut:
        assert_aligned(piece)
        piece.inputs[0].zero_()
    assert part.inputs[0].sum() == 45


def test_one_micro_batch_is_the_part_itself() -> None:
    part = part_of(10)
    assert pieces(part, 1) == [part]


def test_placing_keeps_the_structure_and_copies_the_tensors() -> None:
    base = torch.arange(10.0)
    value = {"a": [base[1:4], (base[2:5], "text")], "b": 3}
    copy = placed(value, CPU)
    assert copy["b"] == 3
    assert copy["a"][1][1] == "text"
    assert torch.equal(copy["a"][1][0], base[2:5])
    base.zero_()
    assert copy["a"][0].tolist() == [1.0, 2.0, 3.0]


def test_placing_keeps_a_named_tuple_named() -> None:
    copy = placed(Pair(torch.ones(2), torch.zeros(3)), CPU)
    assert isinstance(copy, Pair)
    assert copy.second.tolist() == [0.0, 0.0, 0.0]
