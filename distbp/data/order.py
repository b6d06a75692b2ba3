"""Which sample goes where: pure functions of (seed, epoch), of sizes and of numbers, and of nothing else.

This is why the number of workers need not change the result. The order of the samples, the cut of a batch into parts,
and every random draw are fixed before anyone asks how many workers there are; a worker only takes some of the parts.

Only the raw bit streams of numpy are used, which numpy promises to keep from version to version; the order in which
``Generator.permutation`` spends them, it does not.

n samples, V parts (``shards``), k draws a sample.
"""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

# What a stream of random bits is for. Streams of different purposes never meet, whatever their numbers.
ORDER, DRAWS, KEY = range(3)


def permutation(n: int, *, seed: int, epoch: int) -> np.ndarray:
    """The samples 0 to n - 1 in the order of ``epoch``.   -> (n) int64."""
    bits = _stream(ORDER, seed, epoch).random_raw(n)
    samples = np.argsort(bits)  # a fifth of the time of a stable sort, and the same where no two are equal
    in_order = bits[samples]
    return np.argsort(bits, kind="stable") if np.any(in_order[1:] == in_order[:-1]) else samples


def draws(n: int, k: int, *, seed: int, epoch: int) -> np.ndarray:
    """Uniform numbers in [0, 1); row s belongs to sample s, whatever n is.   -> (n, k) float64."""
    bits = _stream(DRAWS, seed, epoch).random_raw((n, k))
    return (bits >> np.uint64(11)) * 2.0**-53


def key(seed: int, *numbers: int) -> int:
    """The seed of another generator, mixed from ``seed`` and ``numbers``: 0 to 2^63 - 1."""
    return int(_sequence(KEY, seed, *numbers).generate_state(1, np.uint64)[0] >> np.uint64(1))


def parts(n: int, shards: int, min_part: int = 1) -> list[range]:
    """The samples of each of the V parts of a batch of n: part v is ``[v n // V, (v + 1) n // V)``.

    Where a part would be smaller than ``min_part``, the n samples make ``P = n // min_part`` parts instead (at least
    one), spread evenly over the V places, and the other places are empty. With ``min_part`` 1 the two rules are one.
    """
    filled = min(shards, max(1, n // min_part))
    edges = [(v * filled // shards) * n // filled for v in range(shards + 1)]
    return [range(start, stop) for start, stop in pairwise(edges)]


def leaves(parts: int, size: int, rank: int) -> range:
    """The consecutive parts that ``rank`` of ``size`` holds, empty ones included: ``[r P // size, (r + 1) P // size)``.

    The same rule deals out whatever else is numbered: blocks of an evaluation, slices of a buffer.
    """
    return range(rank * parts // size, (rank + 1) * parts // size)


def present(parts: Sequence[range]) -> tuple[bool, ...]:
    """Which parts hold samples; an empty part is absent from the tree of sums."""
    return tuple(len(part) > 0 for part in parts)


def _stream(*words: int) -> np.random.PCG64:
    return np.random.PCG64(_sequence(*words))


def _sequence(*words: int) -> np.random.SeedSequence:
    # SeedSequence takes 32-bit words and treats missing ones as zeros: two words a number and their count keep
    # (1, 2), (1, 2, 0) and (1 + 2^33,) apart.
    halves = [half for word in words for half in (word & 0xFFFFFFFF, word >> 32)]
    return np.random.SeedSequence(np.array([len(words), *halves], np.uint32))  # a list is read three times as slowly
