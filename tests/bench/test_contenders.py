"""The contenders do the same work: after the same steps they have the same weights."""

from collections.abc import Callable

import pytest
import torch

from distbp.bench.contenders import Autograd, Contender, Manual
from distbp.bench.memory import size
from distbp.bench.models.case import Case
from distbp.bench.models.table import build
from distbp.bench.names import MODELS
from distbp.engines.autograd import AutogradEngine


def on_the_tape(case: Case) -> Contender:
    """The manual contender's buffers and optimizer, with the tape's gradients."""
    return Manual(case, engine=AutogradEngine)


def after(make: Callable[[Case], Contender], name: str, *, steps: int = 3) -> dict[str, torch.Tensor]:
    contender = make(build(name, seed=0, batch=4))
    for _ in range(steps):
        contender.step()
    return contender.case.module.state_dict()


@pytest.mark.parametrize("name", MODELS)
def test_they_train_alike(name: str) -> None:
    start = build(name, seed=0, batch=4).module.state_dict()
    plain = after(Autograd, name)
    assert any(not torch.equal(plain[key], start[key]) for key in start)
    for make in (on_the_tape, lambda case: Autograd(case, keep=True)):
        other = after(make, name)
        for key, value in plain.items():
            assert torch.allclose(value, other[key], rtol=1e-4, atol=1e-6), key


def test_they_hold_the_same() -> None:
    """The bytes that no engine can do without are alike; flat buffers add some for their alignment."""
    held = []
    for make in (on_the_tape, lambda case: Autograd(case, keep=True)):
        contender = make(build("cnn", seed=0, batch=4))
        contender.step()
        held.append(size(contender.held()))
    parameters = 4 * 50_378
    batch = 4 * 28 * 28 * 4 + 4 * 8
    buffers = 2 * (32 + 64) * 4 + 2 * 8
    assert held[1] == pytest.approx(3 * parameters + batch + buffers, abs=64)
    assert 0 <= held[0] - held[1] <= 3 * 64 * 10
