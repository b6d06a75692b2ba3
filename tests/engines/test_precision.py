"""Both engines in fewer bits: the same casts, gradients in float32, and errors of the size that those bits make.

u is the unit roundoff: 2^-8 of bfloat16, 2^-11 of float16. A product of rounded operands is wrong by 2 u at most,
relative to its terms, and the gradients of a few layers by a few u; how many depends on the model, and autograd's own
error tells. So the law is that of float32, with other numbers: manual's error against the float64 gradient is at most
``max(4 u, 2 autograd's)``, for each parameter, in norm.
"""

import copy
from dataclasses import dataclass, replace

import pytest
import torch
from torch import nn

from distbp.data.part import Part
from distbp.engines.autograd import AutogradEngine
from distbp.engines.manual import ManualEngine
from distbp.errors import RequestError
from distbp.precision import Precision, has_lstm
from distbp.workloads.recurrent import Recurrent
from distbp.workloads.residual import resnet
from tests.engines.agreement import as_dtype, beyond, errors, run
from tests.engines.models import MODELS, cross_entropy

UNIT = {"bf16": 2.0**-8, "fp16": 2.0**-11}
DRAWS = ("dropout", "noise")  # from other bits in another dtype
LSTMS = ("words", "lstm")


class Words(nn.Module):
    """A table of words, a layer over them, and the scores of the next ones."""

    def __init__(self, layer: nn.Module, width: int) -> None:
        super().__init__()
        self.table, self.layer, self.scores = nn.Embedding(30, 16), layer, nn.Linear(width, 30)

    def forward(self, words):
        made = self.layer(self.table(words))
        return self.scores(made[0] if isinstance(made, tuple) else made).flatten(0, 1)


class Pairs(nn.Module):
    """Two tables alone: nothing that is cast."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = nn.Embedding(30, 8), nn.Embedding(30, 4)

    def forward(self, words):
        return torch.cat((self.left(words[:, 0]), self.right(words[:, 1])), 1)


def images() -> nn.Module:
    return nn.Sequential(
        *(nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(128, 10)),
    )


def frozen() -> nn.Module:
    """A body that is not trained, its norms with the statistics that they have."""
    net = images()
    for layer in net[:-1].eval():
        layer.requires_grad_(requires_grad=False)
    return net


def encoder() -> nn.Module:
    told = {"dropout": 0.0, "batch_first": True, "activation": "gelu", "norm_first": True}
    return nn.TransformerEncoder(nn.TransformerEncoderLayer(16, 4, 64, **told), 2, enable_nested_tensor=False)


class Attention(nn.Module):
    """Attention whose weights are taken in float32, whatever the rest is in, as in Llama's code."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(16, 48)

    def forward(self, x):
        q, k, v = self.layer(x).chunk(3, -1)
        weight = nn.functional.softmax(q @ k.mT / 4, -1, dtype=torch.float32).to(v.dtype)
        scale = v.square().mean(-1, keepdim=True, dtype=torch.float32).rsqrt()
        return weight @ (v * scale).to(v.dtype)


@dataclass
class Case:
    """A model, the shape of its inputs, words or pictures, and how many classes it tells."""

    build: object
    shape: tuple[int, ...]
    classes: int
    words: bool = True

    def part(self) -> Part:
        drawn = torch.Generator().manual_seed(1)
        x = torch.randint(30, self.shape, generator=drawn) if self.words else torch.randn(self.shape, generator=drawn)
        rows = x.numel() if self.words and self.classes == 30 else len(x)
        return Part(0, (x,), torch.randint(self.classes, (rows,), generator=drawn), draws=3)


def layers() -> nn.Module:
    return nn.Sequential(nn.Linear(20, 32), nn.ReLU(), nn.Linear(32, 32), nn.Tanh(), nn.Linear(32, 10))


CASES = {
    "perceptron": Case(layers, (32, 20), 10, words=False),
    "convolution": Case(images, (32, 1, 8, 8), 10, words=False),
    "frozen": Case(frozen, (32, 1, 8, 8), 10, words=False),
    "resnet20": Case(lambda: resnet(20, channels=1, classes=10, seed=0), (16, 1, 16, 16), 10, words=False),
    "lstm": Case(lambda: Words(nn.LSTM(16, 24, 2, batch_first=True), 24), (8, 9), 30),
    "gru": Case(lambda: Words(nn.GRU(16, 24, batch_first=True), 24), (8, 9), 30),
    "transformer": Case(lambda: Words(encoder(), 16), (8, 9), 30),
    "attention in float32": Case(lambda: Words(Attention(), 16), (8, 9), 30),
    "embedding": Case(Pairs, (32, 2), 12),
}


def gradients(kind, module, loss, part, precision="fp32"):
    return run(kind(module, loss, precision=Precision(precision)), part)


def assert_as_near(precision, module, loss, part, *, draws=False):
    wide = copy.deepcopy(loss).double() if isinstance(loss, nn.Module) else loss
    exact = gradients(AutogradEngine, copy.deepcopy(module).double(), wide, as_dtype(part, torch.float64)).places
    manual, autograd = (gradients(k, module, loss, part, precision) for k in (ManualEngine, AutogradEngine))
    assert {place.dtype for place in manual.places.values()} == {torch.float32}
    exact = {name: place.double() for name, place in autograd.places.items()} if draws else exact
    theirs, ours = errors(autograd.places, exact), errors(manual.places, exact)
    assert beyond(1, {name: ours[name] / max(4 * UNIT[precision], 2 * theirs[name]) for name in exact}) == {}
    losses = [float(made.outcomes[0].loss_sum) for made in (manual, autograd)]
    assert losses[0] == pytest.approx(losses[1], rel=2 * UNIT[precision])
    return manual, autograd


@pytest.mark.parametrize("precision", UNIT)
@pytest.mark.parametrize("name", CASES)
def test_the_engines_agree(name, precision, one_thread):
    if name in LSTMS and not has_lstm(precision):
        pytest.skip(f"torch has no {precision} LSTM on this CPU")
    torch.manual_seed(0)
    case = CASES[name]
    manual, autograd = assert_as_near(precision, case.build(), cross_entropy, case.part())
    moved, theirs = manual.outcomes[0].buffer_deltas, autograd.outcomes[0].buffer_deltas
    assert {n: d.dtype for n, d in moved.items()} == {n: d.dtype for n, d in theirs.items()}
    assert beyond(4 * UNIT[precision], errors(moved, theirs)) == {}


@pytest.mark.parametrize("precision", UNIT)
@pytest.mark.parametrize("model", MODELS, ids=str)
def test_they_agree_on_every_model(model, precision, one_thread):
    if model.name in LSTMS and not has_lstm(precision):
        pytest.skip(f"torch has no {precision} LSTM on this CPU")
    loss = copy.deepcopy(model.loss).float() if isinstance(model.loss, nn.Module) else model.loss
    draws = any(word in model.name for word in DRAWS)
    assert_as_near(precision, model.build().float(), loss, as_dtype(model.part(n=64), torch.float32), draws=draws)


@pytest.mark.parametrize("kind", [ManualEngine, AutogradEngine])
def test_a_scale_that_is_a_power_of_two_changes_no_bit(kind, one_thread):
    torch.manual_seed(0)
    case, module = CASES["perceptron"], layers()
    plain, scaled = (kind(module, cross_entropy, precision=Precision("bf16")) for _ in range(2))
    scaled.scale = 2.0**9
    expected, found = (run(engine, case.part()).places for engine in (plain, scaled))
    assert all(torch.equal(found[name], 2.0**9 * place) for name, place in expected.items())


def test_what_is_cast_is_what_autocast_casts_and_once():
    tied = nn.Linear(8, 8)
    module = nn.Sequential(tied, nn.ReLU(), tied, nn.LayerNorm(8), nn.Linear(8, 4))
    part = Part(0, (torch.randn(6, 8),), torch.randint(4, (6,)), draws=0)
    engine = ManualEngine(module, cross_entropy, precision=Precision("bf16"))
    engine.prepare(part)
    calls = engine._first.graph.calls
    cast = [call.inputs[0].name for call in calls if str(call.op) == "aten._to_copy.default"]
    assert sorted(cast) == sorted([*(f"linear_{n}_{leaf}" for n in (0, 4) for leaf in ("weight", "bias")), "inputs_0"])
    products = [call for call in calls if str(call.op) == "aten.linear.default"]
    assert {value.dtype for call in products for value in (*call.values(), *call.outputs)} == {torch.bfloat16}
    loss = next(call for call in calls if str(call.op) == "aten.cross_entropy_loss.default")
    assert loss.inputs[0].dtype == torch.float32


class Narrowly(nn.Module):
    """A layer that its author keeps in float32."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.outer = nn.Linear(8, 8), nn.Linear(8, 4)

    def forward(self, x):
        with torch.autocast("cpu", enabled=False):
            h = self.inner(x.float())
        return self.outer(h)


def test_a_block_without_autocast_is_left_alone():
    torch.manual_seed(0)
    module, part = Narrowly(), Part(0, (torch.randn(6, 8),), torch.randint(4, (6,)), draws=0)
    engine = ManualEngine(module, cross_entropy, precision=Precision("bf16"))
    found = run(engine, part).places
    calls = [call for call in engine._first.graph.calls if str(call.op) == "aten.linear.default"]
    assert [call.outputs[0].dtype for call in calls] == [torch.float32, torch.bfloat16]
    expected = gradients(AutogradEngine, module, cross_entropy, part, "bf16").places
    assert beyond(4 * UNIT["bf16"], errors(found, expected)) == {}


def test_a_second_part_is_added_in_float32(one_thread):
    torch.manual_seed(0)
    case, module = CASES["perceptron"], layers()
    part = case.part()
    one, two = (ManualEngine(module, cross_entropy, precision=Precision("bf16")) for _ in range(2))
    once, twice = run(one, part).places, run(two, part, replace(part)).places
    assert all(torch.equal(twice[name], 2 * place) for name, place in once.items())


@pytest.mark.parametrize("precision", ["fp32", *UNIT])
def test_an_lstm_is_there_where_torch_trains_one(precision):
    layer = nn.LSTM(3, 5, 2)
    try:
        with Precision(precision).autocast(torch.device("cpu")):
            y, _ = layer(torch.ones(4, 2, 3))
        y.sum().backward()
    except RuntimeError:
        assert not has_lstm(precision)
    else:
        assert has_lstm(precision)
    assert has_lstm("fp32")


def test_what_there_is_not_is_refused_in_one_line(monkeypatch):
    with pytest.raises(RequestError, match="precision=fp8: one of fp32, bf16, fp16 is allowed"):
        Precision("fp8")
    monkeypatch.setattr("distbp.precision.has_lstm", lambda name: name != "fp16")
    with pytest.raises(RequestError, match="fp32 or bf16 is allowed: torch has no float16 LSTM on this CPU"):
        Precision("fp16").refuse_unfit(CASES["lstm"].build())
    Precision("bf16").refuse_unfit(CASES["lstm"].build())
    Precision("fp16").refuse_unfit(Recurrent(vocabulary=4, width=4, layers=1))
