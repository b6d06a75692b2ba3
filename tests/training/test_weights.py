"""Workers that update a share each come to the weights, and the state, of one that updates all."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from distbp.comm import threads
from distbp.comm.base import Name
from distbp.reduction.layout import plan
from distbp.training import optimizers
from distbp.training.flat_state import by_name, restore
from distbp.training.weights import Weights

START = Name(0, "start")
RULES = {
    "sgd": {"momentum": 0.0},
    "momentum": {"momentum": 0.9, "weight_decay": 0.1},
    "adam": {"weight_decay": 0.1},
    "adamw": {},
    "adagrad": {},
    "rmsprop": {"momentum": 0.5},
}


def drawn(shapes, dtypes, seed):
    draws = torch.Generator().manual_seed(seed)
    return {
        f"t{i}": torch.randn(shape, generator=draws, dtype=torch.float64).to(dtypes[i % len(dtypes)])
        for i, shape in enumerate(shapes)
    }


def updated(  # noqa: PLR0917 - JSON passes arguments in order
    comm, rule, shapes, dtypes, bucket_bytes, steps, begin=0, before=None
):
    """The weights and the state by name after some steps on gradients that every rank has."""
    tensors = drawn(shapes, dtypes, 0)
    layouts = plan(tensors.items(), bucket_bytes=bucket_bytes, size=comm.size)
    gradients = [layout.allocate(comm.device) for layout in layouts]
    window = comm.allocate(sum(layout.bytes for layout in layouts), name=START)
    if before:
        tensors = {name: value.clone() for name, value in before[0].items()}
    weights = Weights(layouts, tensors, gradients, window, comm)
    optimizer = getattr(optimizers, rule if rule != "momentum" else "sgd")(weights.shares, lr=0.1, **RULES[rule])
    if before:
        restore(before[1], optimizer, weights)
    for step in range(begin, steps):
        new = drawn(shapes, dtypes, 1 + step)
        for layout, buffer in zip(layouts, gradients, strict=True):
            for name, view in layout.views(buffer).items():
                view.copy_(new[name])
        optimizers.update(optimizer, lr=0.1, count=3)
        weights.spread(step=step)
    state = by_name(optimizer, weights, step=steps)
    comm.barrier(name=START)
    elements = sum(share.numel() for share in weights.shares)
    assert elements * len(window.blocks) == sum(layout.length for layout in layouts)
    return {name: tensor.clone() for name, tensor in tensors.items()}, state


def same(found, expected):
    return found.keys() == expected.keys() and all(torch.equal(found[name], expected[name]) for name in expected)


@settings(max_examples=60)
@given(
    rule=st.sampled_from(sorted(RULES)),
    size=st.integers(2, 4),
    per_node=st.integers(1, 4),
    shapes=st.lists(st.sampled_from([(), (0,), (3,), (17, 5), (1000,)]), max_size=3).map(lambda found: [*found, (3,)]),
    dtypes=st.sampled_from([[torch.float32], [torch.float32, torch.float64]]),
    bucket_bytes=st.integers(1, 9000),
    stop=st.integers(1, 3),
)
def test_a_divided_update_is_that_of_one_worker(*, rule, size, per_node, shapes, dtypes, bucket_bytes, stop):
    """Also where the state goes on, by name, on another number of workers."""
    (alone,) = threads.run(1, updated, rule, shapes, dtypes, bucket_bytes, 4)
    halfway = threads.run(size, updated, rule, shapes, dtypes, bucket_bytes, stop, ranks_per_node=per_node)
    whole = threads.run(size, updated, rule, shapes, dtypes, bucket_bytes, 4, ranks_per_node=per_node)
    resumed = threads.run(3, updated, rule, shapes, dtypes, 100, 4, stop, halfway[0])
    for weights, state in [*whole, *resumed]:
        assert same(weights, alone[0])
        assert same(state, alone[1])


@pytest.mark.parametrize(("kind", "size"), [("mpi", 2), ("mpi", 3), ("torch", 2)])
def test_processes(pool, kind, size):
    shapes, dtypes = [(1000, 30), (7,)], [torch.float32]
    ((expected, _),) = threads.run(1, updated, "adamw", shapes, dtypes, 2000, 3)
    for found in pool.run(kind, size, sums_of_weights):
        assert found == [weight.double().sum().item() for weight in expected.values()]


def sums_of_weights(comm):
    """Of three steps; JSON brings them back exactly."""
    weights, _ = updated(comm, "adamw", [(1000, 30), (7,)], [torch.float32], 2000, 3)
    return [weight.double().sum().item() for weight in weights.values()]
