"""A part that joins others: its gradients are added with the bits of those that were first written elsewhere."""

import pytest
import torch
from torch import Tensor, nn

from distbp.data.part import Part
from distbp.engines.autograd import AutogradEngine
from distbp.engines.base import Destination, Engine
from distbp.engines.manual import ManualEngine
from distbp.program import join
from tests.engines.agreement import as_dtype
from tests.engines.models import MODELS, Model, cross_entropy

ENGINES = [ManualEngine, AutogradEngine]


def joined_and_apart(engine: Engine, part: Part) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """What stands after a join, and the sum of what stood there and what the part gives elsewhere."""
    names = {name: p for name, p in engine.module.named_parameters() if p.requires_grad}
    before = {name: torch.randn_like(p, requires_grad=False) for name, p in names.items()}
    apart = {name: torch.full_like(p, torch.nan, requires_grad=False) for name, p in names.items()}
    joined = {name: place.clone() for name, place in before.items()}
    order: list[str] = []
    engine.gradients(part, Destination(apart))
    for _ in range(2):  # the second time with memory that is kept
        order.clear()
        for name, place in joined.items():
            place.copy_(before[name])
        engine.gradients(part, Destination(joined, add=True, join=True, complete=order.append))
    assert order == list(engine.emissions)
    return joined, {name: before[name] + place for name, place in apart.items()}


@pytest.mark.parametrize("kind", ENGINES)
@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
def test_a_join_has_the_bits_of_a_sum(kind: type[Engine], model: Model) -> None:
    module = model.build()
    engine = kind(module, model.loss)
    engine.prepare(model.part())
    joined, sums = joined_and_apart(engine, model.part())
    assert [name for name in sums if not torch.equal(joined[name], sums[name])] == []


@pytest.mark.parametrize("n", [1, 3, 64, 384, 385, 600, 1500])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_however_long_the_product(n: int, dtype: torch.dtype) -> None:
    """Libraries add to what is there once where the inner length is short, and several times where it is long."""
    torch.manual_seed(n)
    module = nn.Sequential(nn.Linear(40, 30), nn.Tanh(), nn.Linear(30, 5)).to(dtype)
    part = Part(0, (torch.randn(n, 40, dtype=dtype),), torch.randint(5, (n,)), draws=0)
    engine = ManualEngine(module, cross_entropy)
    engine.prepare(part)
    joined, sums = joined_and_apart(engine, part)
    assert [name for name in sums if not torch.equal(joined[name], sums[name])] == []


def test_what_the_library_adds_in_several_steps_is_found_out() -> None:
    """Of two halves that are added one after the other, as a library does it."""
    kind = torch.float32, torch.device("cpu")
    like = [((30, 64), (64, 1), *kind), ((64, 40), (40, 1), *kind)]
    assert isinstance(join._rounds_once(*like, 1), bool)
    real = Tensor.addmm_

    def in_halves(into: Tensor, a: Tensor, b: Tensor) -> Tensor:
        half = a.shape[1] // 2
        return real(real(into, a[:, :half], b[:half]), a[:, half:], b[half:])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Tensor, "addmm_", in_halves)
        assert not join._rounds_once(*like, -1)


def test_a_module_that_has_become_double_joins_in_double() -> None:
    model = MODELS[1]
    module = model.build().float()
    engine = ManualEngine(module, model.loss)
    narrow = as_dtype(model.part(), torch.float32)
    engine.prepare(narrow)
    joined_and_apart(engine, narrow)
    module.double()
    joined, sums = joined_and_apart(engine, model.part())
    assert [name for name in sums if not torch.equal(joined[name], sums[name])] == []


def test_what_joins_is_settled_anew_for_another_number_of_threads() -> None:
    """A library that divides a product among threads may add to what is there once with one, twice with two."""
    torch.manual_seed(0)
    module = nn.Linear(300, 1)
    part = Part(0, (torch.randn(600, 300),), torch.zeros(600, dtype=torch.int64), draws=0)
    engine = ManualEngine(module, cross_entropy)
    threads = torch.get_num_threads()
    try:
        for number in (2, 1):
            torch.set_num_threads(number)
            engine.prepare(part)
            joined, sums = joined_and_apart(engine, part)
            assert [name for name in sums if not torch.equal(joined[name], sums[name])] == []
    finally:
        torch.set_num_threads(threads)
