"""The models of the bench are what their names say: shapes, sizes, and the same from the same seed."""

import math

import pytest
import torch

from distbp.bench.models.table import MODELS, build
from distbp.bench.names import MODELS as NAMES

SHAPES = {  # of the first input and of the output, and the number of parameters
    "mlp_small": ((32, 784), (32, 10), 784 * 128 + 128 + 128 * 10 + 10),
    "mlp_large": ((256, 784), (256, 10), 784 * 1024 + 1024 + 2 * (1024**2 + 1024) + 1024 * 10 + 10),
    "cnn": ((64, 1, 28, 28), (64, 10), 50_378),
    "resnet20": ((64, 3, 32, 32), (64, 10), 272_474),
    "lstm_lm": ((35, 20), (35, 20, 10_000), 2 * 10_000 * 200 + 10_000 + 2 * 4 * (2 * 200 * 200 + 2 * 200)),
    "gpt_small": ((12, 64), (12, 64, 65), 818_176),
    "gpt_vocab": ((8, 128), (8, 128, 10_000), 8_312_320),
    "neumf": ((1024,), (1024,), 107_761),
}


def test_the_names_are_those_of_the_table() -> None:
    assert tuple(MODELS) == NAMES
    assert set(SHAPES) == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_shapes_and_sizes(name: str) -> None:
    case = build(name, seed=0)
    shape, output_shape, parameters = SHAPES[name]
    with torch.no_grad():
        output = case.module(*case.inputs)
        loss_sum, count = case.loss(output, case.target)
    assert case.inputs[0].shape == shape
    assert output.shape == output_shape
    assert sum(parameter.numel() for parameter in case.module.parameters()) == parameters
    assert loss_sum.shape == ()
    assert count == case.target.numel()


@pytest.mark.parametrize("name", NAMES)
def test_an_untrained_model_guesses(name: str) -> None:
    """The mean loss is about that of equal chances for every class."""
    case = build(name, seed=1)
    with torch.no_grad():
        output = case.module(*case.inputs)
        loss_sum, count = case.loss(output, case.target)
    classes = output.shape[-1] if output.dim() > 1 else 2
    assert float(loss_sum) / count == pytest.approx(math.log(classes), rel=0.15)


@pytest.mark.parametrize("name", NAMES)
def test_the_seed_says_it_all_and_the_global_generator_is_left_alone(name: str) -> None:
    state = torch.get_rng_state()
    first, again, other = build(name, seed=3, batch=2), build(name, seed=3, batch=2), build(name, seed=4, batch=2)
    assert torch.equal(state, torch.get_rng_state())
    weights = [torch.cat([p.flatten() for p in case.module.parameters()]) for case in (first, again, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
    assert all(torch.equal(a, b) for a, b in zip(first.inputs, again.inputs, strict=True))
    assert torch.equal(first.target, again.target)


def test_a_token_sees_only_those_before_it() -> None:
    case = build("gpt_small", seed=0, batch=1)
    (tokens,) = case.inputs
    changed = tokens.clone()
    changed[0, 40] = (tokens[0, 40] + 1) % 65
    with torch.no_grad():
        before, after = case.module(tokens), case.module(changed)
    assert torch.allclose(before[0, :40], after[0, :40], atol=1e-6)
    assert not torch.allclose(before[0, 40:], after[0, 40:], atol=1e-3)


@pytest.mark.parametrize("name", ["gpt_small", "lstm_lm"])
def test_a_target_is_the_token_that_follows(name: str) -> None:
    case = build(name, seed=0, batch=2)
    time = 1 if name == "gpt_small" else 0
    steps = case.target.shape[time]
    assert torch.equal(case.inputs[0].narrow(time, 1, steps - 1), case.target.narrow(time, 0, steps - 1))
