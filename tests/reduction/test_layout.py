"""The plan of a flat buffer: nothing overlaps, everything is aligned, every bucket can be shared out."""

import math
from itertools import pairwise

import torch
from hypothesis import given
from hypothesis import strategies as st

from distbp.alignment import ALIGNMENT
from distbp.reduction.layout import adopt, plan

SHAPES = st.lists(st.lists(st.integers(0, 7), max_size=3).map(tuple), min_size=1, max_size=8)
DTYPES = st.sampled_from([torch.float32, torch.float64, torch.bfloat16])


@st.composite
def named_tensors(draw):
    shapes = draw(SHAPES)
    return [(f"t{i}", torch.randn(shape).to(draw(DTYPES))) for i, shape in enumerate(shapes)]


@given(named_tensors(), st.integers(1, 300), st.integers(1, 7))
def test_laws_of_a_plan(tensors, bucket_bytes, size):
    layouts = plan(tensors, bucket_bytes=bucket_bytes, size=size)
    assert sorted(span.name for layout in layouts for span in layout.spans) == sorted(name for name, _ in tensors)
    for layout in layouts:
        aligned = ALIGNMENT // layout.dtype.itemsize
        spans = layout.spans
        assert all(span.start % aligned == 0 and span.stop - span.start == span.shape.numel() for span in spans)
        assert all(before.stop <= after.start for before, after in pairwise(spans))
        edges = [edge for bucket in layout.buckets for edge in bucket]
        assert edges == sorted(edges)
        assert edges[:1] == ([0] if any(span.shape.numel() for span in spans) else [])  # nothing to send, no bucket
        assert all(a[1] == b[0] for a, b in pairwise(layout.buckets))
        assert all((stop - start) % math.lcm(aligned, size) == 0 for start, stop in layout.buckets)
        for span in spans:
            within = any(start <= span.start <= span.stop <= stop for start, stop in layout.buckets)
            assert within or span.shape.numel() == 0


@given(named_tensors(), st.integers(1, 7))
def test_adopted_tensors_keep_their_values_and_live_in_the_buffer(tensors, size):
    for layout in plan(tensors, bucket_bytes=64, size=size):
        mine = {name: tensor.clone() for name, tensor in tensors if tensor.dtype == layout.dtype}
        before = {name: tensor.clone() for name, tensor in mine.items()}
        buffer = layout.allocate(torch.device("cpu"))
        adopt(mine, layout.views(buffer))
        for name, tensor in mine.items():
            assert torch.equal(tensor, before[name])
            assert tensor.numel() == 0 or buffer.data_ptr() <= tensor.data_ptr() < buffer.data_ptr() + buffer.nbytes
            assert tensor.numel() == 0 or tensor.data_ptr() % ALIGNMENT == 0


def test_the_layout_does_not_move_with_the_number_of_workers():
    """Only the padding between buckets does: every tensor stays on its boundary, in its order."""
    tensors = [(f"t{i}", torch.empty(n)) for i, n in enumerate([5, 130, 17])]
    for size in (1, 2, 3):
        (layout,) = plan(tensors, bucket_bytes=2**20, size=size)
        assert [(span.name, span.start) for span in layout.spans] == [("t0", 0), ("t1", 16), ("t2", 160)]
