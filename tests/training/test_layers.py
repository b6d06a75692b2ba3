"""The norms of layers are those of torch, with the same bits however many workers share the buffers."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from distbp.comm import threads
from distbp.comm.base import Name
from distbp.reduction.layout import BLOCK, plan
from distbp.training.layers import Layers, cut, norm
from distbp.training.weights import Weights

SHAPES = [(3000, 5), (1,), (1024,), (0,), (40, 40), (17,), (2500,)]
SCALES = [1.0, 1e-25, 0.0, 1.0, 1e25, 3.0, 1e-21]  # squares of float32 underflow and overflow


def values(dtype=torch.float32):
    draws = torch.Generator().manual_seed(1)
    tensors = (torch.randn(shape, generator=draws) * scale for shape, scale in zip(SHAPES, SCALES, strict=True))
    return {f"t{i}": tensor.to(dtype) for i, tensor in enumerate(tensors)}


def seen(comm, bucket_bytes, dtype=torch.float32):
    """Two kinds of norms at once: of the values, and of twice the values."""
    tensors = values(dtype)
    layouts = plan(tensors.items(), bucket_bytes=bucket_bytes, size=comm.size, block=BLOCK)
    buffers = [layout.allocate(comm.device) for layout in layouts]
    window = comm.allocate(sum(layout.bytes for layout in layouts), name=Name(0, "start"))
    weights = Weights(layouts, {name: torch.zeros_like(t) for name, t in tensors.items()}, buffers, window, comm)
    layers = Layers(weights)
    for layout, buffer in zip(layouts, buffers, strict=True):
        for name, view in layout.views(buffer).items():
            view.copy_(tensors[name])
    once, twice = weights.gradients, [2 * gradient for gradient in weights.gradients]
    return layers.totals([layers.pieces(once), layers.pieces(twice)], step=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16], ids=str)
def test_norms_are_those_of_torch(dtype):
    ((once, twice),) = threads.run(1, seen, 2**20, dtype)
    assert [*once] == [*twice] == [name for name, tensor in values().items() if tensor.numel()]
    for name, found in once.items():
        expected = values(dtype)[name].double().norm().item()
        assert found == pytest.approx(expected, rel=1e-6, abs=0)
        assert twice[name] == pytest.approx(2 * found, rel=1e-6, abs=0)
        assert norm(values(dtype)[name]) == pytest.approx(expected, rel=1e-6, abs=0)


@settings(max_examples=25)
@given(size=st.integers(2, 5), per_node=st.integers(1, 5), bucket_bytes=st.sampled_from([1, 5000, 2**20]))
def test_any_workers_find_the_same_bits(size, per_node, bucket_bytes):
    (alone,) = threads.run(1, seen, bucket_bytes)
    assert all(found == alone for found in threads.run(size, seen, bucket_bytes, ranks_per_node=per_node))


@given(start=st.integers(0, 3 * BLOCK), length=st.integers(0, 3 * BLOCK))
def test_a_cut_leaves_nothing_out(start, length):
    runs = [*cut(start, start + length)]
    assert [number for a, b in runs for number in range(a, b)] == [*range(start, start + length)]
    for a, b in runs:
        assert (a % BLOCK == b % BLOCK == 0) or a // BLOCK == (b - 1) // BLOCK
