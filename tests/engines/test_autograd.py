"""What only the autograd engine has: buffers that move, models of any kind, ranks that are threads."""

import threading
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from distbp.engines.autograd import AutogradEngine
from distbp.engines.base import Destination, Outcome
from tests.engines.models import Model, cross_entropy, labels


class Moving(nn.Module):
    """A running mean that is replaced, one that moves in place, a count, a flag, and one that stays."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.last = nn.BatchNorm1d(6), nn.Linear(6, 4)
        self.register_buffer("replaced", torch.zeros(6))
        self.register_buffer("flag", torch.zeros((), dtype=torch.bool))
        self.register_buffer("still", torch.ones(3))

    def forward(self, x: Tensor) -> Tensor:
        self.replaced = 0.9 * self.replaced + 0.1 * x.detach().mean(0)
        self.flag.fill_(True)
        return self.last(self.norm(x))


def _run(engine: AutogradEngine, part: Any) -> tuple[dict[str, Tensor], Outcome]:
    places = {n: torch.empty_like(p, requires_grad=False) for n, p in engine.module.named_parameters()}
    return places, engine.gradients(part, Destination(places))


def test_buffers_are_put_back_and_their_change_is_reported() -> None:
    model = Model("", Moving, cross_entropy, labels)
    module, twin, part = model.build(), model.build(), model.part()
    before = {name: b.clone() for name, b in module.named_buffers()}
    held = module.replaced
    _, outcome = _run(AutogradEngine(module, cross_entropy), part)
    twin(*part.inputs)
    assert all(torch.equal(before[name], b) for name, b in module.named_buffers())
    assert module.replaced is held
    moved = {"norm.running_mean", "norm.running_var", "norm.num_batches_tracked", "replaced"}
    assert outcome.buffer_deltas.keys() == moved
    after = dict(twin.named_buffers())
    for name, delta in outcome.buffer_deltas.items():
        assert delta.dtype == before[name].dtype
        assert torch.allclose(before[name] + delta, after[name], rtol=1e-12)


class Branching(nn.Module):
    """Control flow that depends on data: no program holds it."""

    def __init__(self) -> None:
        super().__init__()
        self.up, self.down, self.last = nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.up(x) if x.sum() > 0 else self.down(x))


def test_a_model_of_any_kind_has_gradients_and_unused_ones_are_zero() -> None:
    model = Model("", Branching, cross_entropy, labels)
    part = model.part()
    engine = AutogradEngine(model.build(), cross_entropy)
    for sign, used, unused in ((1, "up", "down"), (-1, "down", "up")):
        positive = part.inputs[0].abs() * sign
        places, _ = _run(engine, replace(part, inputs=(positive,)))
        assert bool(places[f"{used}.weight"].any())
        assert not bool(places[f"{unused}.weight"].any())


def test_a_loss_that_depends_on_no_parameter_has_zeros() -> None:
    model = Model("", lambda: nn.Linear(6, 4), lambda o, t: (t.double().sum(), 7), labels)
    places, outcome = _run(AutogradEngine(model.build(), model.loss), model.part())
    assert not any(bool(place.any()) for place in places.values())
    assert float(outcome.loss_sum) > 0


def test_ranks_that_are_threads_take_turns_at_the_global_generator() -> None:
    model = Model("", lambda: nn.Sequential(nn.Linear(6, 32), nn.Dropout(0.5), nn.Linear(32, 4)), cross_entropy, labels)
    parts = [model.part(n=16, seed=s) for s in range(4)]
    alone = [_run(AutogradEngine(model.build(), cross_entropy), part)[0] for part in parts]
    modules = [model.build() for _ in parts]
    wrong: list[int] = []

    def rank(r: int) -> None:
        engine = AutogradEngine(modules[r], cross_entropy)
        for _ in range(30):
            places, _ = _run(engine, parts[r])
            wrong.extend(r for name in places if not torch.equal(places[name], alone[r][name]))

    ranks = [threading.Thread(target=rank, args=(r,)) for r in range(4)]
    for thread in ranks:
        thread.start()
    for thread in ranks:
        thread.join(60)
    assert wrong == []
