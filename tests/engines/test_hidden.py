"""What torch.export hides: buffers that forward replaces, blocks without gradients, functions with a way back of their
own. A program has the same gradients and changes as the tape, or there is none, and one line says why.
"""

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from distbp.engines.autograd import AutogradEngine
from distbp.engines.base import Destination, Engine, Outcome
from distbp.engines.manual import ManualEngine
from distbp.errors import RequestError
from tests.engines.models import Model, cross_entropy, labels

Forward = Callable[[Any, Tensor], Tensor]


class Running(nn.Module):
    """Two layers, three buffers, and whatever ``body`` makes of them."""

    def __init__(self, body: Forward) -> None:
        super().__init__()
        self.first, self.last, self.body = nn.Linear(6, 6), nn.Linear(6, 4), body
        self.register_buffer("mean", torch.linspace(0.5, 1.5, 6))
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))
        self.register_buffer("none", None)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.body(self, self.first(x)))


def nested(body: Forward) -> Callable[[], nn.Module]:
    return lambda: nn.Sequential(nn.Sequential(nn.Linear(6, 6), nn.Tanh()), Running(body))


def replaced(m: Any, h: Tensor) -> Tensor:
    m.count = m.count + 1
    m.mean = 0.9 * m.mean + 0.1 * h.detach().mean(0)
    return h * m.mean + m.count


def replaced_twice(m: Any, h: Tensor) -> Tensor:
    m.mean = m.mean * 2
    h = h + m.mean
    m.mean = m.mean + h.mean(0)  # with its gradient
    return h * m.mean


def replaced_and_changed(m: Any, h: Tensor) -> Tensor:
    m.mean.mul_(0.5)
    m.mean = m.mean + 1
    m.count += 1
    return h * m.mean


def exchanged(m: Any, h: Tensor) -> Tensor:
    before = m.mean
    m.mean = h.detach()[0]
    return h * before


def filled_once(m: Any, h: Tensor) -> Tensor:
    m.none = h.detach() + 1 if m.none is None else m.none
    return h * m.none


def copied(m: Any, h: Tensor) -> Tensor:
    m.mean.copy_(h.detach()[0])
    m.mean.add_(1)
    return h * m.mean


def averaged(m: Any, h: Tensor) -> Tensor:
    with torch.no_grad():
        m.mean.mul_(0.9).add_(h.mean(0), alpha=0.1)
        m.mean.copy_(m.mean + 1)
        m.count += 1
    return h * m.mean


def copied_without(m: Any, h: Tensor) -> Tensor:
    with torch.no_grad():
        m.mean.copy_(h.mean(0))
    return h * m.mean


def written_out_to(m: Any, h: Tensor) -> Tensor:
    with torch.no_grad():
        torch.div(m.mean, 2, out=m.mean)
        F.normalize(m.mean, dim=0, out=m.mean)
    return h * m.mean


def stopped(m: Any, h: Tensor) -> Tensor:
    with torch.no_grad():
        mask, weight = torch.relu_(m.first(h)), m.last.weight.mean()
        with torch.enable_grad():
            g = m.first(mask)
        g2 = g * mask
    return h * mask + g * weight + g2


def switched(m: Any, h: Tensor) -> Tensor:
    torch.set_grad_enabled(False)
    scale = h.exp().sum(-1, keepdim=True)
    torch.set_grad_enabled(True)
    scale.mul_(2)
    return h / scale


def inferred(m: Any, h: Tensor) -> Tensor:
    with torch.inference_mode():
        other = torch.sigmoid(h)
    return h + other


def full(m: Any, h: Tensor) -> Tensor:
    with torch.autocast("cpu", enabled=False):
        return m.first(h)


def recomputed(m: Any, h: Tensor) -> Tensor:
    return checkpoint(m.first, h, use_reentrant=False)


def powered() -> nn.Module:
    layer = nn.utils.parametrizations.spectral_norm(nn.Linear(6, 6))
    return nn.Sequential(layer, nn.Tanh(), nn.utils.spectral_norm(nn.Linear(6, 4)))


def instances(**settings: Any) -> Callable[[], nn.Module]:
    norm = nn.InstanceNorm2d(2, track_running_stats=True, **settings)
    return lambda: nn.Sequential(nn.Conv2d(2, 2, 3, bias=False), norm, nn.ReLU(), norm, nn.Flatten(), nn.Linear(8, 4))


def signals() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 4), nn.InstanceNorm1d(4, affine=True, track_running_stats=True), nn.Flatten(),
                         nn.Linear(16, 4))  # fmt: skip


def seen_before(m: Any, h: Tensor) -> Tensor:
    h = h - m.mean.view(1, -1)
    m.mean.mul_(2)
    return h * m.mean.view(1, -1)


def kept_before(m: Any, h: Tensor) -> Tensor:
    before = m.mean
    m.mean = m.mean + 1
    return h * before + m.mean


BODIES = [
    seen_before,
    kept_before,
    replaced,
    replaced_twice,
    replaced_and_changed,
    exchanged,
    filled_once,
    copied,
    averaged,
    copied_without,
]
BODIES += [written_out_to, stopped, switched, inferred, full, recomputed]
IMAGES, SIGNALS = ((2, 4, 4),), ((4, 4),)
MODELS = [
    *(Model(body.__name__, nested(body), cross_entropy, labels) for body in BODIES),
    Model("spectral norm", powered, cross_entropy, labels),
    Model("instance norm", instances(affine=True, momentum=0.3), cross_entropy, labels, IMAGES),
    Model("plain instance norm", instances(), cross_entropy, labels, IMAGES),
    Model("signals", signals, cross_entropy, labels, SIGNALS),
    Model("signals, evaluated", lambda: signals().eval(), cross_entropy, labels, SIGNALS),
]


def _step(kind: type[Engine], module: nn.Module, model: Model, seed: int) -> tuple[dict[str, Tensor], Outcome]:
    places = {name: torch.full_like(p, float("nan"), requires_grad=False) for name, p in module.named_parameters()}
    engine = kind(module, model.loss)
    engine.prepare(model.part(seed=seed))
    return places, engine.gradients(model.part(seed=seed), Destination(places))


def _near(a: Tensor, b: Tensor) -> bool:
    return a.dtype == b.dtype and float((a - b).double().norm()) <= 1e-10 * float(b.double().norm())


@pytest.mark.parametrize("model", MODELS, ids=str)
def test_it_is_computed_as_on_the_tape(model: Model) -> None:
    module = model.build()
    held = dict(module.named_buffers())
    before = {name: b.clone() for name, b in held.items()}
    for seed in (3, 4):
        (ours, mine), (theirs, yours) = (_step(kind, module, model, seed) for kind in (ManualEngine, AutogradEngine))
        assert [name for name in theirs if not _near(ours[name], theirs[name])] == []
        assert mine.buffer_deltas.keys() == yours.buffer_deltas.keys()
        assert all(_near(delta, yours.buffer_deltas[name]) for name, delta in mine.buffer_deltas.items())
    assert all(b is held[name] and torch.equal(b, before[name]) for name, b in module.named_buffers() if name in held)


class Reversed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x

    @staticmethod
    def backward(ctx: Any, d: Tensor) -> Tensor:
        return -d


def wider(m: Any, h: Tensor) -> Tensor:
    m.mean = h.detach()
    return h


def halves(m: Any, h: Tensor) -> Tensor:
    m.count = m.count + 0.5
    return h


def emptied(m: Any, h: Tensor) -> Tensor:
    m.mean = None
    return h


def cast(m: Any, h: Tensor) -> Tensor:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        return m.first(h)


def changed_without(m: Any, h: Tensor) -> Tensor:
    with torch.no_grad():
        h.mul_(2)
    return h


def all_at_once(m: Any, h: Tensor) -> Tensor:
    torch._foreach_add_([h], 1.0)
    return h


def seen_after(m: Any, h: Tensor) -> Tensor:
    before = m.mean.view(1, -1).detach()
    m.mean.mul_(2)
    return h * before


REFUSED: list[tuple[Forward, str]] = [
    (wider, r"forward replaces the buffer 1\.mean, \(6,\) of torch\.float64, by a tensor \(7, 6\) of torch\.float64"),
    (halves, r"forward replaces the buffer 1\.count, \(\) of torch\.int64, by a tensor \(\) of torch\.float"),
    (emptied, r"forward replaces the buffer 1\.mean, \(6,\) of torch\.float64, by nothing"),
    (lambda m, h: Reversed.apply(h), "Reversed is a torch.autograd.Function"),
    (lambda m, h: checkpoint(m.first, h, use_reentrant=True), "CheckpointFunction is a torch.autograd.Function"),
    (cast, "forward turns torch.autocast on for cpu"),
    (changed_without, r"in 1 \(Running\): aten.mul_.Tensor under no_grad changes"),
    (seen_after, r"in 1 \(Running\): aten.mul.Tensor reads detach, which lies in a tensor that was changed"),
    (all_at_once, "aten._foreach_add_.Scalar changes its arguments"),
]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(("body", "said"), REFUSED)
def test_or_it_is_refused_in_one_line(body: Forward, said: str, capfd: pytest.CaptureFixture[str]) -> None:
    model = Model("", nested(body), cross_entropy, labels)
    module = model.build()
    held = dict(module.named_buffers())
    with pytest.raises(RequestError, match=said) as refused:
        ManualEngine(module, cross_entropy).prepare(model.part())
    assert str(refused.value).startswith("engine=manual: ")
    assert "engine=autograd runs the module" in str(refused.value)
    assert "\n" not in str(refused.value)
    assert capfd.readouterr() == ("", "")
    assert all(b is held[name] for name, b in module.named_buffers())
