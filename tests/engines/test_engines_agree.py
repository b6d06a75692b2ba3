"""Two ways to the same gradients: the test of each engine is the other."""

import copy
from collections.abc import Mapping
from dataclasses import replace
from functools import cache

import pytest
import torch
from torch import Tensor, nn

from distbp.data.part import Part
from distbp.engines.autograd import AutogradEngine
from distbp.engines.base import Engine
from distbp.engines.manual import ManualEngine
from tests.engines.agreement import Run, as_dtype, assert_equal, beyond, errors, excesses, run
from tests.engines.models import MODELS, Model

ENGINES = [ManualEngine, AutogradEngine]


def _run(kind: type[Engine], module: nn.Module, model: Model, *parts: Part) -> Run:
    return run(kind(module, model.loss), *parts)


@cache
def _engine(kind: type[Engine], model: Model) -> Engine:
    """In float64, with the programs of all shapes that it has been asked for: 7 examples, 4 and 3."""
    return kind(model.build(), model.loss)


@pytest.mark.parametrize("model", MODELS, ids=str)
def test_in_float64_they_are_equal(model: Model) -> None:
    part = model.part()
    assert_equal(*(run(_engine(kind, model), part) for kind in ENGINES))


@pytest.mark.parametrize("model", MODELS, ids=str)
def test_in_float32_the_manual_error_is_as_small(model: Model) -> None:
    module, part = model.build(), model.part(n=64)
    exact = _run(AutogradEngine, module, model, part).places
    loss = copy.deepcopy(model.loss).float() if isinstance(model.loss, nn.Module) else model.loss
    rough = replace(model, loss=loss)
    single = as_dtype(part, torch.float32)
    module.float()
    manual, autograd = (_run(kind, module, rough, single).places for kind in ENGINES)
    if "dropout" in model.name:  # masks are drawn from other bits in float32
        exact = {name: gradient.double() for name, gradient in autograd.items()}
    assert beyond(1, excesses(manual, autograd, exact)) == {}


@pytest.mark.parametrize("kind", ENGINES)
@pytest.mark.parametrize("model", MODELS, ids=str)
def test_each_gradient_completes_once_in_the_order_of_emissions(model: Model, kind: type[Engine]) -> None:
    done = run(_engine(kind, model), model.part(4), model.part(4, seed=4), model.part(3, seed=5))
    assert all(order == list(done.engine.emissions) for order in done.completed)
    assert sorted(done.engine.emissions) == sorted(done.places)


@pytest.mark.parametrize("kind", ENGINES)
@pytest.mark.parametrize("model", MODELS, ids=str)
def test_micro_batches_add_up(model: Model, kind: type[Engine]) -> None:
    if any(word in model.name for word in ("dropout", "noise", "batch norm")):
        pytest.skip("each part draws its own masks and noise, and has statistics of its own")
    whole = model.part()
    halves = [
        replace(whole, inputs=tuple(x[cut] for x in whole.inputs), target=whole.target[cut])
        for cut in (slice(0, 4), slice(4, 7))
    ]
    together = run(_engine(kind, model), whole)
    apart = run(_engine(kind, model), *halves)
    if model.name in ("module as a loss", "broadcast target"):
        return  # these means are not over the examples: the parts' means do not make the whole's
    assert beyond(1e-12, errors(apart.places, together.places)) == {}
    assert sum(float(o.loss_sum) for o in apart.outcomes) == pytest.approx(float(together.outcomes[0].loss_sum))
    assert sum(int(o.count) for o in apart.outcomes) == int(together.outcomes[0].count)


@pytest.mark.parametrize("kind", ENGINES)
def test_an_empty_part_writes_zeros_or_adds_nothing(kind: type[Engine]) -> None:
    model = MODELS[0]
    part = model.part()
    empty = replace(part, inputs=tuple(x[:0] for x in part.inputs), target=part.target[:0])
    run = Run(kind(model.build(), model.loss, metrics=lambda o, t: {"right": (o.argmax(-1) == t).sum()}))
    run.engine.prepare(part)
    before = {name: place.clone() for name, place in run.over(part, empty).items()}
    assert all(bool(torch.isfinite(place).all()) and bool(place.any()) for place in before.values())
    run.over(empty)
    assert not any(bool(place.any()) for place in run.places.values())
    assert all(order == list(run.engine.emissions) for order in run.completed)
    last = run.outcomes[-1]
    assert (float(last.loss_sum), last.count, {k: int(v) for k, v in last.metric_sums.items()}) == (
        0.0,
        0,
        {"right": 0},
    )


@pytest.mark.parametrize("kind", ENGINES)
def test_equal_draws_give_equal_gradients_and_leave_the_global_generator(kind: type[Engine]) -> None:
    model = next(m for m in MODELS if m.name == "dropout")
    module, part = model.build(), model.part()
    torch.manual_seed(99)
    state = torch.get_rng_state()
    first, again = (_run(kind, module, model, part).places for _ in range(2))
    other = _run(kind, module, model, replace(part, draws=part.draws + 1)).places
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize("kind", ENGINES)
def test_the_module_is_left_as_it_was(kind: type[Engine]) -> None:
    model = MODELS[0]
    module = model.build()
    mark = torch.ones(4, dtype=torch.float64)
    list(module.parameters())[-1].grad = mark
    before = {name: p.clone() for name, p in module.state_dict().items()}
    _run(kind, module, model, model.part())
    assert all(torch.equal(before[name], p) for name, p in module.state_dict().items())
    assert [p.grad is mark for p in module.parameters()][-1]
    assert all(p.grad is None for p in list(module.parameters())[:-1])


@pytest.mark.parametrize("kind", ENGINES)
def test_metrics_see_the_output_without_a_tape(kind: type[Engine]) -> None:
    model = MODELS[0]
    seen: list[bool] = []

    def metrics(output: Tensor, target: Tensor) -> Mapping[str, Tensor]:
        right = (output.argmax(-1) == target).sum()
        seen.append(torch.is_grad_enabled() or right.requires_grad)
        return {"right": right}

    module, part = model.build(), model.part()
    outcome = Run(kind(module, model.loss, metrics=metrics))
    outcome.engine.prepare(part)
    outcome.over(part)
    assert int(outcome.outcomes[0].metric_sums["right"]) == int((module(*part.inputs).argmax(-1) == part.target).sum())
    assert seen == [False]
