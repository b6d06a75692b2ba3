"""Tables marked sparse: their gradients are rows, the same numbers as in a dense gradient."""

import pytest
import torch
from torch import Tensor, nn

from distbp.data.part import Part
from distbp.engines.autograd import AutogradEngine
from distbp.engines.base import Destination, Engine
from distbp.engines.manual import ManualEngine
from distbp.errors import RequestError

ENGINES: dict[str, type[Engine]] = {"manual": ManualEngine, "autograd": AutogradEngine}
V, D, N, M = 30, 4, 12, 5  # rows, columns, examples, look-ups in a bag


class Word(nn.Module):
    def __init__(self, **told):
        super().__init__()
        self.table = nn.Embedding(V, D, **told)

    def forward(self, numbers: Tensor) -> Tensor:
        return self.table(numbers).tanh().sum(1)


class Twice(Word):
    """Two look-ups in one table, one of them in numbers that the program computes."""

    def forward(self, numbers: Tensor) -> Tensor:
        return super().forward(numbers) * self.table((numbers[:, 0] + 7) % V)


class Bag(nn.Module):
    def __init__(self, *, weighted: bool = False, **told):
        super().__init__()
        self.table = nn.EmbeddingBag(V, D, **told)
        self.weight = nn.Parameter(torch.linspace(-1, 1, N * M).view(N, M)) if weighted else None

    def forward(self, numbers: Tensor) -> Tensor:
        return self.table(numbers, per_sample_weights=self.weight).tanh()


CASES = {
    "embedding": (Word, {}),
    "padding": (Word, {"padding_idx": 3}),
    "two look-ups": (Twice, {}),
    "sum of bags": (Bag, {"mode": "sum"}),
    "mean of bags": (Bag, {"mode": "mean", "padding_idx": 2}),
    "weighted bags": (Bag, {"mode": "sum", "weighted": True}),
}


def loss(output, target):
    return ((output - target) ** 2).sum(), output.shape[0]


def module(kind, told, dtype, *, sparse):
    torch.manual_seed(0)
    return kind(**told, sparse=sparse).to(dtype)


def part(dtype):
    draws = torch.Generator().manual_seed(1)
    numbers = torch.randint(0, V // 2, (N, M), generator=draws)
    return Part(0, (numbers,), torch.randn(N, D, generator=draws, dtype=dtype), draws=0)


def gradients(name, of, dtype):
    """Of every parameter, dense, and the rows of the tables."""
    engine = ENGINES[name](of, loss)
    engine.prepare(part(dtype))
    parameters = {n: p.detach() for n, p in of.named_parameters()}
    assert {*engine.emissions} == parameters.keys() - engine.tables.keys()
    places = {n: torch.full_like(parameters[n], torch.nan) for n in engine.emissions}
    rows = engine.gradients(part(dtype), Destination(places)).rows
    return places | {n: found.dense(parameters[n]) for n, found in rows.items()}, rows


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(("kind", "told"), CASES.values(), ids=CASES)
def test_rows_are_those_of_the_dense_gradient(kind, told, engine):
    """In float64 close to torch's dense ones."""
    dense, _ = gradients("autograd", module(kind, told, torch.float64, sparse=False), torch.float64)
    found, rows = gradients(engine, module(kind, told, torch.float64, sparse=True), torch.float64)
    assert rows.keys() == {"table.weight"}
    numbers = rows["table.weight"].numbers
    assert torch.equal(numbers, torch.unique(numbers)), "ascending, each once"
    assert told.get("padding_idx") not in numbers.tolist()
    assert found.keys() == dense.keys()
    for name, gradient in found.items():
        assert torch.allclose(gradient, dense[name], rtol=1e-12, atol=1e-12), name


@pytest.mark.parametrize(("kind", "told"), CASES.values(), ids=CASES)
def test_the_manual_engines_rows_have_the_bits_of_its_dense_gradient(kind, told):
    dense, _ = gradients("manual", module(kind, told, torch.float32, sparse=False), torch.float32)
    found, _ = gradients("manual", module(kind, told, torch.float32, sparse=True), torch.float32)
    assert all(torch.equal(found[name], dense[name]) for name in dense)


@pytest.mark.parametrize("engine", ENGINES)
def test_an_empty_part_has_no_rows(engine):
    of = module(Word, {}, torch.float32, sparse=True)
    made = ENGINES[engine](of, loss)
    made.prepare(part(torch.float32))
    nothing = Part(1, (torch.zeros(0, M, dtype=torch.int64),), torch.zeros(0, D), draws=0)
    assert not made.gradients(nothing, Destination({})).rows


class Tied(Word):
    """The table is the last layer's weight, too."""

    def forward(self, numbers: Tensor) -> Tensor:
        return super().forward(numbers) @ self.table.weight.T


class Halved(Word):
    """An embedding that is not marked reads the table that another one has marked."""

    def __init__(self, **told):
        super().__init__(**told)
        self.other = nn.Embedding(V, D)
        self.other.weight = self.table.weight

    def forward(self, numbers: Tensor) -> Tensor:
        return super().forward(numbers) + self.other(numbers[:, 0])


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(("kind", "width"), [(Tied, V), (Halved, D)])
def test_a_table_that_is_read_otherwise_too_is_refused(kind, width, engine):
    of = kind(sparse=True)
    made = ENGINES[engine](of, loss)
    example = Part(0, part(torch.float32).inputs, torch.zeros(N, width), draws=0)
    places = {n: torch.empty_like(p) for n, p in of.named_parameters()}
    with pytest.raises(RequestError, match=r"^table\.weight=sparse=True: .*; sparse=False is allowed") as refusal:
        made.gradients(example, Destination(places))
    assert "\n" not in str(refusal.value)
    made = ENGINES[engine](kind(sparse=False), loss)
    made.prepare(example)


def test_a_frozen_table_has_no_gradient():
    of = Twice(sparse=True)
    of.table.weight.requires_grad_(False)
    assert not ManualEngine(of, loss).tables
