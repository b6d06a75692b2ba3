"""The laws of streams: each unit is predicted once, from all units before it in its stream, whatever the segments."""

import numpy as np
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from distbp.data.fingerprint import fingerprint
from distbp.data.loader import Loader
from distbp.data.streams import Streams
from distbp.data.windows import IGNORED


def streams(n: int, number: int, length: int) -> Streams:
    assume(number < n)
    return Streams(torch.arange(n), number, length)


@given(st.integers(2, 60), st.integers(1, 9), st.integers(1, 7))
def test_an_epoch_predicts_each_unit_once_from_those_before_it(n: int, number: int, length: int) -> None:
    split = streams(n, number, length)
    everyone = np.arange(len(split))
    segments = [split.segment(k).batch(everyone, np.empty((len(split), 0))) for k in range(split.segments)]
    units, target = (torch.cat(tensors, dim=1) for tensors in ([x for (x,), _ in segments], [y for _, y in segments]))
    there = target != IGNORED
    assert target[there].tolist() == list(range(1, n))
    assert (units[there] + 1).tolist() == list(range(1, n))
    assert (units.diff(dim=1)[there[:, 1:]] == 1).all()  # a stream is read without a gap
    assert there[:, : length * (split.segments - 1)].sum() >= (split.segments - 1) * length  # no segment is empty
    lengths = there.sum(dim=1)
    assert int(lengths.max() - lengths.min()) <= 1
    assert int(units.min()) >= 0
    assert int(units.max()) < n


@given(st.integers(12, 60), st.integers(1, 9), st.integers(1, 4), st.integers(1, 7), st.integers(0, 30))
def test_all_segments_of_a_batch_come_before_the_next(n: int, number: int, batch: int, length: int, first: int) -> None:
    split = streams(n, number, length)
    loader = Loader(split, batch_size=batch, shards=2, seed=5, rank=0, size=1)
    batches = list(loader.epoch(1))
    assert len(batches) == loader.steps_per_epoch == -(-number // batch) * split.segments
    predicted: list[int] = []
    last: dict[int, int] = {}
    for k, found in enumerate(batches):
        assert all(part.begins == (k % split.segments == 0) for part in found.parts)
        for part in found.parts:
            units = part.inputs[0]
            if not part.begins and bool((part.target[:, 0] != IGNORED).all()):
                assert units[:, 0].tolist()[0] == last[part.index] + 1  # the same streams as the step before
            last[part.index] = int(units[0, -1])
            predicted += part.target[part.target != IGNORED].tolist()
    assert sorted(predicted) == list(range(1, n))
    rest = list(loader.epoch(1, first))
    assert [b.step for b in rest] == [b.step for b in batches[first:]]
    for one, other in zip(rest, batches[first:], strict=True):
        for a, b in zip(one.parts, other.parts, strict=True):
            assert torch.equal(a.inputs[0], b.inputs[0])
            assert a.begins == b.begins


def test_the_share_of_an_epoch_is_counted_in_segments_of_samples() -> None:
    split = Streams(torch.arange(61), 6, 5)  # ten units a stream
    loader = Loader(split, batch_size=4, shards=1, seed=0, rank=0, size=1)
    assert loader.examples == 12
    assert [round(12 * loader.share(k)) for k in range(5)] == [0, 4, 8, 10, 12]


def test_a_fingerprint_sees_further_than_the_first_segment() -> None:
    codes = torch.arange(400)
    other = codes.clone()
    other[-1] = 0
    assert fingerprint(Streams(codes, 2, 5)) != fingerprint(Streams(other, 2, 5))
    assert fingerprint(Streams(codes, 2, 5)) == fingerprint(Streams(codes.clone(), 2, 5))
