"""Gradients are bounded as torch's own functions bound them, with the same bits however many workers share them."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from distbp.comm import threads
from distbp.comm.base import Name
from distbp.reduction.layout import BLOCK, plan
from distbp.training.clip import Clip
from distbp.training.weights import Weights

COUNT = 7.0
SHAPES = [(3000, 5), (1,), (1024,), (40, 40)]


def gradients():
    draws = torch.Generator().manual_seed(1)
    return {f"t{i}": torch.randn(shape, generator=draws) for i, shape in enumerate(SHAPES)}


def rows():
    return torch.randn(130, 9, generator=torch.Generator().manual_seed(2))


def bounded(comm, bucket_bytes, norm, value, scale=1.0):
    """The divisor, the norm, and the mean gradients by name as an update would see them, gathered."""
    count = COUNT * scale  # the gradients are so many times as large
    tensors = gradients()
    layouts = plan(tensors.items(), bucket_bytes=bucket_bytes, size=comm.size, block=BLOCK)
    buffers = [layout.allocate(comm.device) for layout in layouts]
    window = comm.allocate(sum(layout.bytes for layout in layouts), name=Name(0, "start"))
    weights = Weights(layouts, {name: torch.zeros_like(t) for name, t in tensors.items()}, buffers, window, comm)
    for layout, buffer in zip(layouts, buffers, strict=True):
        for name, view in layout.views(buffer).items():
            view.copy_(tensors[name] * count)
    of_table = rows() * count
    divisor, found = Clip(norm=norm, value=value).bound(weights, [of_table], count=COUNT, step=0)
    whole = weights.whole(weights.gradients, step=0)
    views = [layout.views(flat) for layout, flat in zip(layouts, whole, strict=True)]
    by_name = {name: view / divisor for of_layout in views for name, view in of_layout.items()}
    return divisor, found, by_name | {"rows": of_table / divisor}


def by_torch(norm, value):
    parameters = [torch.nn.Parameter(torch.zeros_like(t)) for t in (*gradients().values(), rows())]
    for parameter, gradient in zip(parameters, (*gradients().values(), rows()), strict=True):
        parameter.grad = gradient.clone()
    if value is not None:
        torch.nn.utils.clip_grad_value_(parameters, value)
    total = None if norm is None else torch.nn.utils.clip_grad_norm_(parameters, norm).item()
    return total, [parameter.grad for parameter in parameters]


@pytest.mark.parametrize(("norm", "value"), [(None, None), (5.0, None), (1e9, None), (None, 0.5), (3.0, 0.5)], ids=str)
def test_bounds_are_those_of_torch(norm, value):
    ((_, found, means),) = threads.run(1, bounded, 2**20, norm, value)
    expected, theirs = by_torch(norm, value)
    assert found == (None if expected is None else pytest.approx(expected, rel=1e-6))
    for mine, other in zip(means.values(), theirs, strict=True):
        torch.testing.assert_close(mine, other, rtol=2e-6, atol=1e-12)


def test_gradients_whose_squares_are_too_large_are_bounded():
    """float32 has no squares of 1e19 and more."""
    ((_, norm, means),) = threads.run(1, bounded, 2**20, 5.0, None)
    ((_, huge, as_bounded),) = threads.run(1, bounded, 2**20, 5.0, None, 1e25)
    assert huge == pytest.approx(1e25 * norm, rel=1e-6)
    torch.testing.assert_close(as_bounded, means, rtol=2e-6, atol=1e-12)


@settings(max_examples=25)
@given(size=st.integers(2, 5), per_node=st.integers(1, 5), bucket_bytes=st.sampled_from([1, 5000, 2**20]))
def test_any_workers_find_the_same_bits(size, per_node, bucket_bytes):
    ((divisor, norm, means),) = threads.run(1, bounded, bucket_bytes, 3.0, 0.5)
    for theirs, found, others in threads.run(size, bounded, bucket_bytes, 3.0, 0.5, ranks_per_node=per_node):
        assert (theirs, found) == (divisor, norm)
        assert all(torch.equal(others[name], means[name]) for name in means)
