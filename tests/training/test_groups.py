"""Groups of parameters follow torch's groups, step for step."""

import copy
import threading

import pytest
import torch
from torch import nn

from distbp.comm import threads
from distbp.data.part import Part
from distbp.errors import RequestError
from distbp.training import optimizers
from distbp.training.data_parallel import DataParallel
from distbp.training.groups import Group, Groups

RATES = {"0.*": 0.1, "*.bias": 3.0}


def model():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 5), nn.LayerNorm(5), nn.Linear(5, 3)).double()


def examples(step):
    draws = torch.Generator().manual_seed(step)
    return torch.randn(8, 6, generator=draws, dtype=torch.float64), torch.arange(8) % 3


def loss(output, target):
    return nn.functional.cross_entropy(output, target, reduction="sum"), target.numel()


def ours(comm, module, rule, engine):
    step = DataParallel(module, loss, engine=engine, comm=comm, groups=Groups("matrices", RATES), bucket_bytes=64)
    bounds = [8 * leaf // 4 for leaf in range(5)]
    mine = [leaf for leaf in range(4) if leaf * comm.size // 4 == comm.rank]
    for number in range(5):
        inputs, target = examples(number)
        parts = [
            Part(leaf, (inputs[bounds[leaf] : bounds[leaf + 1]],), target[bounds[leaf] : bounds[leaf + 1]], 0)
            for leaf in mine
        ]
        if number == 0:
            step.prepare(parts[0])
            step.divide_update()
            optimizer = getattr(optimizers, rule)(step.updated, lr=0.05, weight_decay=0.2)
        totals = step.gradients(parts, (True,) * 4, step=number)
        optimizers.update(optimizer, lr=0.05, count=totals.count)
        step.weights.spread(step=number)
    return {name: value.clone() for name, value in module.state_dict().items()}


def twin(module, rule):
    """torch's own optimizer, with a group for each parameter."""
    kinds = {"sgd": (torch.optim.SGD, {"momentum": 0.9}), "adamw": (torch.optim.AdamW, {})}
    make, told = kinds[rule]
    groups = [
        {
            "params": [parameter],
            "lr": 0.05 * (0.1 if name.startswith("0.") else 3.0 if name.endswith("bias") else 1.0),
            "weight_decay": 0.2 if parameter.dim() > 1 else 0.0,
        }
        for name, parameter in module.named_parameters()
    ]
    optimizer = make(groups, **told)
    for number in range(5):
        inputs, target = examples(number)
        optimizer.zero_grad()
        nn.functional.cross_entropy(module(inputs), target).backward()
        optimizer.step()
    return module.state_dict()


@pytest.mark.parametrize("engine", ["manual", "autograd"])
@pytest.mark.parametrize("rule", ["sgd", "adamw"])
def test_groups_are_torchs(rule, engine):
    original = model()
    expected = twin(copy.deepcopy(original), rule)
    (found,) = threads.run(1, ours, original, rule, engine)
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("size", [2, 4])
def test_any_number_of_workers(size):
    (alone,) = threads.run(1, ours, model(), "adamw", "autograd")
    for found in threads.run(size, apart, "adamw", "autograd"):
        assert all(torch.equal(found[name], alone[name]) for name in alone)


def apart(comm, rule, engine):
    """Each thread with a module of its own."""
    with LOCK:
        module = model()
    return ours(comm, module, rule, engine)


LOCK = threading.Lock()


def test_the_first_pattern_counts():
    groups = Groups("matrices", {"head.*": 2.0, "*": 0.5})
    assert groups.of("head.weight", torch.ones(2, 2)) == Group(decayed=True, rate=2.0)
    assert groups.of("body.bias", torch.ones(2)) == Group(decayed=False, rate=0.5)


def test_a_pattern_that_fits_nothing_is_refused():
    with pytest.raises(RequestError, match=r"groups\.rates=heads\.\*: a pattern that fits .*, as head\.weight"):
        Groups(rates={"heads.*": 2.0}).refuse_idle(["head.weight", "body.bias"])


def test_a_pattern_that_comes_first_for_no_parameter_is_a_wrong_request():
    names = ["head.weight", "body.bias"]
    with pytest.raises(RequestError, match=r"groups.rates=body.\*: .* the first counts, and \* stands before it"):
        Groups(rates={"*": 0.5, "body.*": 0.0}).refuse_idle(names)
    Groups(rates={"body.*": 0.0, "*": 0.5}).refuse_idle(names)
