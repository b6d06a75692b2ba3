"""An update of flat buffers has the bits of torch's own step, in the first step and in later ones."""

import copy

import pytest
import torch

from distbp.training import optimizers

STEPS = 4
SHAPES = [(1003,), (0,), (5, 7)]
RULES = {
    "sgd": {"momentum": 0.0},
    "momentum": {"momentum": 0.9, "weight_decay": 0.1},
    "nesterov": {"momentum": 0.9, "nesterov": True},
    "adam": {"weight_decay": 0.1},
    "adamw": {},
    "adagrad": {"weight_decay": 0.1},
}
MAKES = {name: getattr(optimizers, name, optimizers.sgd) for name in RULES}


def made(rule, dtype):
    draws = torch.Generator().manual_seed(0)
    parameters = [torch.randn(shape, generator=draws, dtype=dtype) for shape in SHAPES]
    return parameters, MAKES[rule](parameters, lr=0.1, **RULES[rule])


def draw(parameters, step):
    draws = torch.Generator().manual_seed(step)
    for number, parameter in enumerate(parameters):
        # the last one has no gradient in some steps, as what is touched only within a step
        there = step == 0 or number < len(parameters) - 1 or step % 2 == 1
        parameter.grad = torch.randn(parameter.shape, generator=draws, dtype=parameter.dtype) if there else None


def by_torch(optimizer, *, lr, count):
    optimizer.grad_scale = torch.tensor(float(count))
    for group in optimizer.param_groups:
        group["lr"] = lr
    optimizer.step()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("rule", RULES)
def test_an_update_is_torchs_step(rule, dtype):
    (ours, optimizer), (theirs, twin) = made(rule, dtype), made(rule, dtype)
    for step in range(STEPS):
        draw(ours, step)
        draw(theirs, step)
        optimizers.update(optimizer, lr=0.1 / (step + 1), count=3 + step)
        by_torch(twin, lr=0.1 / (step + 1), count=3 + step)
        for mine, other in zip(ours, theirs, strict=True):
            assert torch.equal(mine, other)
            assert optimizer.state[mine].keys() == twin.state[other].keys()
            for kind, value in twin.state[other].items():
                assert torch.equal(optimizer.state[mine][kind], value), kind


@pytest.mark.parametrize("rule", RULES)
def test_no_step_is_torchs(rule, monkeypatch):
    parameters, optimizer = made(rule, torch.float32)
    draw(parameters, 0)
    monkeypatch.setattr(type(optimizer), "step", None)
    before = copy.deepcopy(parameters)
    optimizers.update(optimizer, lr=0.1, count=1)
    assert not any(torch.equal(a, b) for a, b in zip(before, parameters, strict=True) if a.numel())


def test_a_count_of_nothing_divides_by_one():
    parameters, optimizer = made("sgd", torch.float64)
    draw(parameters, 0)
    expected = parameters[0] - 0.5 * parameters[0].grad
    optimizers.update(optimizer, lr=0.5, count=0)
    torch.testing.assert_close(parameters[0], expected)


def test_what_is_not_fused_steps_by_itself():
    parameters, twins = ([torch.ones(3), torch.ones(2)] for _ in range(2))
    optimizer = optimizers.rmsprop(parameters, lr=1.0, momentum=0.5)
    twin = torch.optim.RMSprop(twins, lr=1.0, momentum=0.5)
    for step in range(3):
        for parameter, other in zip(parameters, twins, strict=True):
            parameter.grad, other.grad = torch.full_like(parameter, 6.0 + step), torch.full_like(other, 6.0 + step) / 4
        optimizers.update(optimizer, lr=1.0, count=4)
        twin.step()
        assert all(map(torch.equal, parameters, twins))
