"""Two ways to the same gradients: the test of each engine is the other."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import pytest
import torch
from torch import Tensor, nn

from distbp.data.part import Part
from distbp.engines.autograd import AutogradEngine
from distbp.engines.base import Destination, Engine, Outcome
from distbp.engines.manual import ManualEngine
from tests.engines.models import MODELS, Model

ENGINES = [ManualEngine, AutogradEngine]


@dataclass
class Run:
    """What one engine makes of some parts, all into one destination, the later ones added."""

    engine: Engine
    places: dict[str, Tensor] = field(default_factory=dict)
    completed: list[list[str]] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)

    def __post_init__(self) -> None:
        trainable = [(name, p) for name, p in self.engine.module.named_parameters() if p.requires_grad]
        self.places = {name: torch.full_like(p, float("nan"), requires_grad=False) for name, p in trainable}

    def over(self, *parts: Part) -> Mapping[str, Tensor]:
        for number, part in enumerate(parts):
            order: list[str] = []
            self.outcomes.append(self.engine.gradients(part, Destination(self.places, number > 0, order.append)))
            self.completed.append(order)
        return self.places


def _run(kind: type[Engine], module: nn.Module, model: Model, *parts: Part) -> Run:
    run = Run(kind(module, model.loss))
    run.engine.prepare(parts[0])
    run.over(*parts)
    return run


def _error(a: Tensor, b: Tensor) -> float:
    return float((a.double() - b.double()).norm() / b.double().norm().clamp(min=1e-300)) if b.any() else float(a.norm())


@pytest.mark.parametrize("model", MODELS, ids=str)
def test_in_float64_they_are_equal(model: Model) -> None:
    module, part = model.build(), model.part()
    manual, autograd = (_run(kind, module, model, part) for kind in ENGINES)
    assert manual.places.keys() == autograd.places.keys()
    for name, gradient in manual.places.items():
        assert _error(gradient, autograd.places[name]) < 1e-10, name
    ours, theirs = manual.outcomes[0], autograd.outcomes[0]
    assert abs(float(ours.loss_sum) - float(theirs.loss_sum)) < 1e-12 * max(1, abs(float(theirs.loss_sum)))
    assert int(ours.count) == int(theirs.count)
    assert ours.buffer_deltas.keys() == theirs.buffer_deltas.keys()
    for name, delta in ours.buffer_deltas.items():
        assert delta.dtype == theirs.buffer_deltas[name].dtype
        assert _error(delta, theirs.buffer_deltas[name]) < 1e-10, name


@pytest.mark.parametrize("model", MODELS, ids=str)
def test_in_float32_the_manual_error_is_as_small(model: Model) -> None:
    module, part = model.build(), model.part(n=64)
    exact = _run(AutogradEngine, module, model, part).places
    loss = copy.deepcopy(model.loss).float() if isinstance(model.loss, nn.Module) else model.loss
    rough = replace(model, loss=loss)
    target = part.target.float() if part.target.is_floating_point() else part.target
    single = replace(part, inputs=tuple(x.float() for x in part.inputs), target=target)
    module.float()
    manual, autograd = (_run(kind, module, rough, single).places for kind in ENGINES)
    if "dropout" in model.name:  # masks are drawn from other bits in float32
        exact = {name: gradient.double() for name, gradient in autograd.items()}
    for name, gradient in manual.items():
        allowed = max(1e-5, 2 * _error(autograd[name], exact[name]))
        assert _error(gradient, exact[name]) <= allowed, name


@pytest.mark.parametrize("kind", ENGINES)
@pytest.mark.parametrize("model", MODELS, ids=str)
def test_each_gradient_completes_once_in_the_order_of_emissions(model: Model, kind: type[Engine]) -> None:
    run = _run(kind, model.build(), model, model.part(5), model.part(5, seed=4), model.part(3, seed=5))
    assert all(order == list(run.engine.emissions) for order in run.completed)
    assert sorted(run.engine.emissions) == sorted(run.places)


@pytest.mark.parametrize("kind", ENGINES)
@pytest.mark.parametrize("model", MODELS, ids=str)
def test_micro_batches_add_up(model: Model, kind: type[Engine]) -> None:
    if "dropout" in model.name or "batch norm" in model.name:
        pytest.skip("each part draws its own masks, and has statistics of its own")
    module, whole = model.build(), model.part(7)
    halves = [
        replace(whole, inputs=tuple(x[cut] for x in whole.inputs), target=whole.target[cut])
        for cut in (slice(0, 4), slice(4, 7))
    ]
    together = _run(kind, module, model, whole)
    apart = _run(kind, module, model, *halves)
    if model.name in ("module as a loss", "broadcast target"):
        return  # these means are not over the examples: the parts' means do not make the whole's
    for name, gradient in apart.places.items():
        assert _error(gradient, together.places[name]) < 1e-12, name
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
