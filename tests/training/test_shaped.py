"""Optimizers that need shapes take torch's steps, or those of a plain twin, and as many workers as one likes."""

import math
from pathlib import Path

import pytest
import torch
from hydra.types import RunMode
from rich.console import Console
from torch import nn

from distbp import config, job
from distbp.comm import threads
from distbp.comm.base import Name
from distbp.data.part import Part
from distbp.errors import RequestError
from distbp.recipe import optimizer_of
from distbp.reduction.layout import plan
from distbp.schema import from_config
from distbp.training import optimizers
from distbp.training.data_parallel import DataParallel
from distbp.training.flat_state import by_name, restore
from distbp.training.groups import Group, grouped
from distbp.training.lamb import Lamb
from distbp.training.shaped import Adafactor
from distbp.training.weights import Weights

CONF = str(Path(__file__).parents[1] / "faults" / "conf")
SHAPES = {"a": (40, 60), "b": (60,), "c": (2, 3, 5, 7), "d": (), "e": (0, 4), "f": (3, 1)}
STEPS, LR, COUNT = 6, 0.02, 3
MAKES = {"adafactor": Adafactor, "lamb": Lamb}


def drawn(seed, dtype=torch.float64):
    draws = torch.Generator().manual_seed(seed)
    return {name: torch.randn(shape, generator=draws, dtype=torch.float64).to(dtype) for name, shape in SHAPES.items()}


def kept_apart(name, _tensor):
    """Vectors and scalars are not decayed, and one parameter has a rate of its own."""
    return Group(decayed=name in "acf", rate=0.5 if name == "c" else 1.0)


def stepped(comm, rule, dtype, begin, stop, before):  # noqa: PLR0917 - threads pass them in order
    """The weights and the state by name after the steps from ``begin`` to ``stop``, going on from ``before``."""
    tensors = drawn(0, dtype) if before is None else {name: value.clone() for name, value in before[0].items()}
    layouts = plan(tensors.items(), bucket_bytes=3000, size=comm.size, group=kept_apart)
    gradients = [layout.allocate(comm.device) for layout in layouts]
    window = comm.allocate(sum(layout.bytes for layout in layouts), name=Name(0, "start"))
    own = type(window).private(window.blocks[window.place], comm)
    weights = Weights(layouts, tensors, gradients, own, comm)
    optimizer = MAKES[rule](grouped(weights.views_by_group()), lr=LR, weight_decay=0.1)
    if before:
        restore(before[1], optimizer, weights)
    for step in range(begin, stop):
        new = drawn(1 + step, dtype)
        for layout, buffer in zip(layouts, gradients, strict=True):
            for name, view in layout.views(buffer).items():
                view.copy_(new[name] * COUNT)
        optimizers.update(optimizer, lr=LR / (1 + step), count=COUNT)
    state = {key: value.clone() for key, value in by_name(optimizer, weights, step=stop).items()}
    return {name: tensor.clone() for name, tensor in tensors.items()}, state


def lamb(parameters, gradients, moments, t, lr):
    """Algorithm 2 of You et al. 2019, as it is written there."""
    for name, w in parameters.items():
        decay, rate = (0.1 if name in "acf" else 0.0), (0.5 if name == "c" else 1.0)
        m, v = moments.setdefault(name, (torch.zeros_like(w), torch.zeros_like(w)))
        g = gradients[name]
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
        moments[name] = m, v
        ratio = (m / (1 - 0.9**t)) / ((v / (1 - 0.999**t)).sqrt() + 1e-6)
        moved = ratio + decay * w
        trust = w.norm() / moved.norm() if w.norm() > 0 and moved.norm() > 0 else 1.0
        parameters[name] = w - lr * rate * trust * moved


def twin(rule):
    """The weights after all steps, by torch or by the twin above, in float64."""
    parameters, moments = drawn(0), {}
    groups = {name: kept_apart(name, None) for name in SHAPES}
    told = [
        {"params": [parameters[name]], "weight_decay": 0.1 if group.decayed else 0.0, "rate": group.rate}
        for name, group in groups.items()
        if parameters[name].numel()  # torch divides by their number
    ]
    theirs = torch.optim.Adafactor(told, lr=LR)
    for step in range(STEPS):
        gradients = drawn(1 + step)
        if rule == "lamb":
            lamb(parameters, gradients, moments, step + 1, LR / (1 + step))
            continue
        for group in theirs.param_groups:
            group["lr"] = LR / (1 + step) * group["rate"]
        for name, parameter in parameters.items():
            parameter.grad = gradients[name]
        theirs.step()
    return parameters


@pytest.mark.parametrize("rule", MAKES)
def test_steps_are_those_of_the_twin(rule):
    ((found, _),) = threads.run(1, stepped, rule, torch.float64, 0, STEPS, None)
    for name, value in twin(rule).items():
        torch.testing.assert_close(found[name], value, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("rule", MAKES)
def test_any_number_of_workers_goes_on_from_any_other(rule):
    ((weights, state),) = threads.run(1, stepped, rule, torch.float32, 0, STEPS, None)
    halfway, *_ = threads.run(2, stepped, rule, torch.float32, 0, 3, None)
    for found in threads.run(3, stepped, rule, torch.float32, 3, STEPS, halfway):
        for expected, mine in zip((weights, state), found, strict=True):
            assert expected.keys() == mine.keys()
            assert all(torch.equal(expected[name], mine[name]) for name in expected)


def test_a_parameter_of_zeros_or_without_a_gradient_moves_by_the_rate_alone():
    w, still = torch.zeros(3), torch.ones(3)
    optimizer = Lamb([w, still], lr=0.5, weight_decay=0.0)
    w.grad, still.grad = torch.tensor([1.0, -2.0, 4.0]), torch.zeros(3)
    optimizer.step()
    torch.testing.assert_close(w, torch.tensor([-0.5, 0.5, -0.5]))
    assert torch.equal(still, torch.ones(3))


@pytest.mark.parametrize("damage", ["missing", "of another shape"])
@pytest.mark.parametrize("rule", MAKES)
def test_a_state_that_does_not_fit_is_refused(rule, damage):
    ((weights, state),) = threads.run(1, stepped, rule, torch.float32, 0, 1, None)
    key = "variance/b" if rule == "adafactor" else "exp_avg/b"
    other = {k: v for k, v in state.items() if k != key} | ({} if damage == "missing" else {key: torch.zeros(61)})
    with pytest.raises((KeyError, RuntimeError), match=key):
        threads.run(1, stepped, rule, torch.float32, 1, 2, (weights, other))


def train(comm, folder, *overrides):
    how = ("workload=tiny", "workload.pause=0.0", "batch_size=8", "shards=2", "log.every=1", "epochs=1")
    words = [*how, "optimizer.lr=0.01", "groups.decay=matrices", "clip.norm=1.0", f"run_dir={folder}", *overrides]
    loader = config.Loader(config.search_path(CONF))
    request = from_config(config.plain(loader.load_configuration(config.CONFIG, words, RunMode.RUN)), words)
    return job.train(request, comm, Console(quiet=True))


@pytest.mark.parametrize("rule", MAKES)
def test_a_run_has_the_same_bits_whoever_trains_and_goes_on(tmp_path, rule):
    (whole,) = threads.run(1, train, tmp_path / "whole", f"optimizer={rule}")
    two, _ = threads.run(2, train, tmp_path / "two", f"optimizer={rule}")
    assert two["weights_sha256"] == whole["weights_sha256"]
    threads.run(2, train, tmp_path / "part", f"optimizer={rule}", "steps=5")
    resumed, *_ = threads.run(1, train, tmp_path / "part", f"optimizer={rule}", "resume=latest")
    assert resumed["weights_sha256"] == whole["weights_sha256"]
    assert math.isfinite(resumed["train_loss"])


def test_sparse_tables_are_refused():
    module = nn.Sequential(nn.Embedding(9, 2, sparse=True))
    parallel = DataParallel(module, lambda output, _target: (output.sum(), len(output)), engine="autograd")
    parallel.prepare(Part(0, (torch.arange(4),), torch.zeros(4), draws=0))
    with pytest.raises(RequestError, match="optimizer=lamb: with tables that are marked sparse"):
        optimizer_of(config.request("optimizer=lamb"), parallel)
