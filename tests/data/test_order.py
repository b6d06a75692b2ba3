"""The laws of the order of samples: everything is fixed before the number of workers is known."""

import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from distbp.data import order

sizes = st.integers(0, 300)
seeds = st.integers(0, 2**63 - 1)
epochs = st.integers(0, 10_000)


@given(sizes, seeds, epochs)
def test_a_permutation_holds_each_sample_once(n: int, seed: int, epoch: int) -> None:
    samples = order.permutation(n, seed=seed, epoch=epoch)
    assert samples.dtype == np.int64
    assert sorted(samples) == list(range(n))


@given(seeds, epochs)
def test_a_permutation_is_a_function_of_seed_and_epoch(seed: int, epoch: int) -> None:
    first = order.permutation(100, seed=seed, epoch=epoch)
    assert np.array_equal(first, order.permutation(100, seed=seed, epoch=epoch))
    assert not np.array_equal(first, order.permutation(100, seed=seed, epoch=epoch + 1))
    assert not np.array_equal(first, order.permutation(100, seed=seed + 1, epoch=epoch))


def test_the_order_of_samples_is_the_recorded_one() -> None:
    samples = order.permutation(1000, seed=0, epoch=0)
    assert samples[:6].tolist() == [415, 927, 563, 218, 481, 731]
    assert (
        hashlib.sha256(samples.astype("<i8").tobytes()).hexdigest()
        == "ebe723c9150c9cd23bd95b77e7e505a8e70448793d7e7784a245946bb7a17eec"
    )


def test_permutations_favour_no_place() -> None:
    places = np.array([np.argsort(order.permutation(8, seed=0, epoch=e)) for e in range(4000)])
    counts = np.array([np.bincount(column, minlength=8) for column in places.T])
    assert np.abs(counts - 500).max() < 5 * np.sqrt(500)


@given(st.integers(1, 100), st.integers(0, 5), seeds, epochs)
def test_the_draws_of_a_sample_do_not_depend_on_how_many_samples_there_are(
    n: int, k: int, seed: int, epoch: int
) -> None:
    rows = order.draws(n, k, seed=seed, epoch=epoch)
    assert rows.shape == (n, k)
    assert rows.dtype == np.float64
    assert np.all((rows >= 0) & (rows < 1))
    assert np.array_equal(rows, order.draws(n + 7, k, seed=seed, epoch=epoch)[:n])


def test_draws_are_uniform_and_new_in_each_epoch() -> None:
    first, second = (order.draws(20_000, 2, seed=3, epoch=e) for e in (0, 1))
    assert np.abs(np.histogram(first, bins=10, range=(0, 1))[0] - 4000).max() < 5 * np.sqrt(4000)
    assert not np.any(first == second)


@given(st.lists(st.integers(0, 2**63 - 1), min_size=1, max_size=4))
def test_a_key_seeds_a_torch_generator(numbers: list[int]) -> None:
    assert 0 <= order.key(*numbers) < 2**63
    assert order.key(*numbers) == order.key(*numbers)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ((1, 2), (2, 1)),
        ((1, 2), (1, 2, 0)),
        ((1, 2), (1, 2, 0, 0)),
        ((1, 0), (1 << 32, 0)),
        ((1 << 32,), (0, 1)),
        ((0,), (0, 0)),
    ],
)
def test_keys_of_different_numbers_differ(one: tuple[int, ...], other: tuple[int, ...]) -> None:
    assert order.key(*one) != order.key(*other)


def test_keys_do_not_collide() -> None:
    keys = {order.key(seed, step, part) for seed in range(10) for step in range(50) for part in range(8)}
    assert len(keys) == 10 * 50 * 8


@given(st.integers(0, 200), st.integers(1, 20), st.integers(1, 5))
def test_the_parts_of_a_batch_are_its_samples_in_order(n: int, shards: int, min_part: int) -> None:
    parts = order.parts(n, shards, min_part)
    assert len(parts) == shards
    assert [sample for part in parts for sample in part] == list(range(n))


@given(st.integers(0, 200), st.integers(1, 20))
def test_without_a_least_size_part_v_is_the_documented_range(n: int, shards: int) -> None:
    assert order.parts(n, shards) == [range(v * n // shards, (v + 1) * n // shards) for v in range(shards)]


@given(st.integers(1, 200), st.integers(1, 20), st.integers(1, 5))
def test_no_part_is_smaller_than_the_least_size(n: int, shards: int, min_part: int) -> None:
    lengths = [len(part) for part in order.parts(n, shards, min_part) if part]
    assert max(lengths) - min(lengths) <= 1
    assert min(lengths) >= min(n, min_part)
    assert len(lengths) == min(shards, max(1, n // min_part))


@given(st.integers(0, 200), st.integers(1, 20), st.integers(1, 5))
def test_presence_is_holding_samples(n: int, shards: int, min_part: int) -> None:
    parts = order.parts(n, shards, min_part)
    assert order.present(parts) == tuple(bool(list(part)) for part in parts)


@given(st.integers(0, 60), st.integers(1, 20))
def test_the_ranks_hold_consecutive_leaves(parts: int, size: int) -> None:
    held = [order.leaves(parts, size, rank) for rank in range(size)]
    assert [leaf for leaves in held for leaf in leaves] == list(range(parts))
    assert max(map(len, held)) - min(map(len, held)) <= 1
