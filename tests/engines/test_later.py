"""What changes in a module after an engine has seen it: attributes, which parameters are trainable, other threads."""

import threading
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from distbp.engines.autograd import AutogradEngine
from distbp.engines.base import Destination, Engine
from distbp.engines.manual import KEPT, ManualEngine
from distbp.errors import RequestError
from tests.engines.models import MODELS, Model, cross_entropy, labels, perceptron

ENGINES = [ManualEngine, AutogradEngine]


class Attributes(nn.Module):
    """Reads attributes of several kinds, its own and its layers'."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.drop, self.norm = nn.Linear(6, 6), nn.Dropout(0.25), nn.BatchNorm1d(6)
        self.last = nn.Linear(6, 4)
        self.loss = nn.CrossEntropyLoss(reduction="sum")
        self.scale, self.name, self.power, self.steps = 2, "tanh", None, (1, 2)

    def forward(self, x: Tensor) -> Tensor:
        h = getattr(torch, self.name)(self.norm(self.drop(self.first(x)))) * self.scale
        h = h if self.power is None else h.abs() ** self.power
        return self.last(h * sum(self.steps))


CHANGES: dict[str, Callable[[Any], Any]] = {
    "p": lambda m: setattr(m.drop, "p", 0.75),
    "eps": lambda m: setattr(m.norm, "eps", 0.5),
    "momentum": lambda m: setattr(m.norm, "momentum", 0.5),
    "a number": lambda m: setattr(m, "scale", 3.5),
    "a word": lambda m: setattr(m, "name", "sigmoid"),
    "from none": lambda m: setattr(m, "power", 1.5),
    "a tuple": lambda m: setattr(m, "steps", (3, 4)),
    "a list": lambda m: setattr(m, "steps", [3, 4]),
    "a tensor": lambda m: setattr(m, "scale", torch.ones(6, dtype=torch.float64)),
    "the loss": lambda m: setattr(m.loss, "label_smoothing", 0.5),
    "mode": lambda m: m.drop.eval(),
}


def _places(module: nn.Module) -> dict[str, Tensor]:
    return {name: torch.full_like(p, float("nan"), requires_grad=False) for name, p in module.named_parameters()}


def _gradients(engine: Engine, model: Model, n: int = 7, *, like: dict[str, Tensor] | None = None) -> dict[str, Tensor]:
    places = _places(engine.module) if like is None else {name: place.clone() for name, place in like.items()}
    outcome = engine.gradients(model.part(n), Destination(places))
    return places | {f"change of {name}": delta for name, delta in outcome.buffer_deltas.items()}


def _equal(ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> bool:
    return ours.keys() == theirs.keys() and all(torch.allclose(ours[n], theirs[n], 1e-10, 1e-15) for n in ours)


@pytest.mark.parametrize("change", CHANGES)
def test_an_attribute_that_has_changed_counts_from_the_next_call_on(change: str) -> None:
    model = Model("", Attributes, cross_entropy, labels)
    module = model.build()
    manual, autograd = engines = [kind(module, module.get_submodule("loss")) for kind in ENGINES]
    for engine in engines:
        engine.prepare(model.part())
    before = _gradients(manual, model)
    CHANGES[change](module)
    ours, theirs = (_gradients(engine, model) for engine in (manual, autograd))
    assert _equal(ours, theirs)
    assert not _equal(ours, before)


def test_programs_of_past_values_are_kept_and_not_for_ever() -> None:
    model = Model("", lambda: perceptron(nn.Dropout(0.5)), cross_entropy, labels)
    module = model.build()
    engine = ManualEngine(module, cross_entropy)
    engine.prepare(model.part())
    first = dict(engine._programs)
    for number in range(2 * KEPT):
        module[2].p = 0.5 + number / 100
        engine.prepare(model.part())
        engine.prepare(model.part(3))
        module[2].p = 0.5
        engine.prepare(model.part())
        assert (engine._programs.items() >= first.items()) == (number < KEPT)
        assert len(engine._programs) <= 2 * KEPT
    assert list(engine.emissions) == [name for program in first.values() for name in program.emissions]


@pytest.mark.parametrize("kind", ENGINES)
def test_a_parameter_frozen_later_has_zeros_and_the_others_their_gradients(kind: type[Engine]) -> None:
    model = next(m for m in MODELS if m.name == "tied")
    module = model.build()
    engine = kind(module, cross_entropy)
    engine.prepare(model.part())
    before = {n: _gradients(engine, model, n) for n in (7, 3)}
    frozen = ["last.weight", "gain"]
    for name in frozen:
        module.get_parameter(name).requires_grad_(False)
    for n in (7, 3, 5):  # shapes that it knows, and one that it does not
        order: list[str] = []
        places = {name: torch.full_like(p, 7.0, requires_grad=False) for name, p in module.named_parameters()}
        engine.gradients(model.part(n), Destination(places, complete=order.append))
        added = {name: torch.ones_like(place) for name, place in places.items()}
        engine.gradients(model.part(n), Destination(added, add=True))
        assert order == list(engine.emissions)
        for name, place in places.items():
            assert torch.equal(place, torch.zeros_like(place)) == (name in frozen)
            assert torch.allclose(place + 1, added[name])
            assert name in frozen or n == 5 or torch.equal(place, before[n][name])
    module.requires_grad_(True)
    assert _equal(before[7], _gradients(engine, model, 7))


@pytest.mark.parametrize("kind", ENGINES)
@pytest.mark.parametrize("n", [7, 3])
def test_a_parameter_that_joins_later_is_refused_by_name(kind: type[Engine], n: int) -> None:
    model = next(m for m in MODELS if m.name == "frozen")
    module = model.build()
    engine = kind(module, model.loss)
    engine.prepare(model.part())
    module.requires_grad_(True)
    with pytest.raises(
        RequestError, match=r"^requires_grad=(second\.weight|second\.bias|last\.bias): it was frozen when"
    ) as refused:
        _gradients(engine, model, n)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("kind", ENGINES)
def test_what_is_frozen_before_the_first_part_has_no_gradient(kind: type[Engine]) -> None:
    model = Model("", lambda: perceptron(nn.Tanh()), cross_entropy, labels)
    engine = kind(model.build(), cross_entropy)
    engine.module.get_parameter("1.bias").requires_grad_(False)
    engine.prepare(model.part())
    assert sorted(engine.emissions) == ["1.weight", "3.bias", "3.weight"]


def test_engines_in_several_threads_share_a_module() -> None:
    """While one of them is lowered, torch.export has tensors of its own in the module."""
    model = next(m for m in MODELS if m.name == "image with batch norm")
    module = model.build()
    alone = {n: _gradients(ManualEngine(module, cross_entropy), model, n) for n in range(2, 6)}
    like = _places(module)
    wrong: list[str] = []

    def rank(r: int) -> None:
        engine = ManualEngine(module, cross_entropy)
        for n in [2 + (r + k) % 4 for k in range(4)]:
            for _ in range(20):
                ours = _gradients(engine, model, n, like=like)
                wrong.extend([] if _equal(ours, alone[n]) else [f"rank {r}: {n}"])

    ranks = [threading.Thread(target=_told, args=(rank, r, wrong)) for r in range(4)]
    for thread in ranks:
        thread.start()
    for thread in ranks:
        thread.join(100)
    assert wrong == []


def _told(rank: Callable[[int], None], r: int, wrong: list[str]) -> None:
    """A rank whose failure is seen."""
    try:
        rank(r)
    except BaseException as error:
        wrong.append(f"rank {r}: {error!r}")
        raise
