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


class Masked(nn.Module):
    """A transformer that is given its causal mask, and finds out by itself whether it is one."""

    def __init__(self) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(4, 2, 8, dropout=0.0, batch_first=True)
        self.encoder, self.last = nn.TransformerEncoder(layer, 2), nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        mask = nn.Transformer.generate_square_subsequent_mask(x.shape[1], dtype=x.dtype)
        return self.last(self.encoder(x, mask=mask)[:, -1])


def assigned_in_parts(m: Any, h: Tensor) -> Tensor:
    o = torch.zeros_like(h)
    o[:, ::2], o[:, 1::2] = h[:, ::2], 2 * h[:, 1::2]
    o[0] = 3.0
    o[:, 2] = o[:, 1]
    o[1:3][:, 1:][..., 0] = m.mean.sum()
    o[:, [3, 5]] = h[:, :2]
    return o


def changed_in_parts(m: Any, h: Tensor) -> Tensor:
    h = h * 1
    h[:, :3].mul_(2).add_(1)
    left = h[1:]
    left *= 3
    mask = torch.ones_like(h)
    mask[:, -1] = 0
    return h * mask + left.sum()


def part_of_a_buffer(m: Any, h: Tensor) -> Tensor:
    m.mean[:3].mul_(2)
    m.mean[-1] = h.detach().sum()
    return h * m.mean


def seen_before(m: Any, h: Tensor) -> Tensor:
    h = h - m.mean.view(1, -1)
    m.mean.mul_(2)
    return h * m.mean.view(1, -1)


def kept_before(m: Any, h: Tensor) -> Tensor:
    before = m.mean
    m.mean = m.mean + 1
    return h * before + m.mean


def constant(m: Any, h: Tensor) -> Tensor:
    return h * torch.tensor(2.0) + h.new_tensor([1.0] * 6)


def named_anew(m: Any, h: Tensor) -> Tensor:
    h = h * h.mean(0).detach_()
    h.unsqueeze_(1).t_() if h.dim() == 1 else h.unsqueeze_(1)
    return h.squeeze_(1)


def dropped_in_place(m: Any, h: Tensor) -> Tensor:
    return F.dropout(torch.flatten(h.view(-1, 2, 3), 1), 0.3, inplace=True)


def changed_as_another(m: Any, h: Tensor) -> Tensor:
    pairs = (h * 1).view(-1, 2, 3)
    pairs.mul_(2).pow_(2)
    return pairs.reshape(-1, 6)


def drawn_in_place(m: Any, h: Tensor) -> Tensor:
    keep = h.new_empty(h.shape[0], 1).bernoulli_(0.7).div_(0.7)  # stochastic depth, as timm has it
    return h * keep + torch.empty_like(h).normal_(1, 0.5) * h.new_empty(6).bernoulli_()


def chosen_by_noise(m: Any, h: Tensor) -> Tensor:
    return h * F.gumbel_softmax(h, 0.7) + F.gumbel_softmax(h, hard=True)


def cast_first(m: Any, h: Tensor) -> Tensor:
    weight = F.softmax(h, -1, dtype=torch.float32) + F.log_softmax(h, -1, dtype=torch.float32)
    h = h * weight * (h > 0).sum(-1, keepdim=True, dtype=h.dtype)
    narrow = torch.linalg.vector_norm(h.float(), dim=-1, keepdim=True, dtype=torch.float64)
    return h / (1 + narrow) + h.sum(dtype=torch.float32) + h.mean(-1, keepdim=True, dtype=torch.float32)


def distributed(m: Any, h: Tensor) -> Tensor:
    normal = torch.distributions.Normal(h, h.exp())
    return normal.rsample() + normal.log_prob(2 * h) + torch.distributions.kl_divergence(normal, normal.__class__(h, 1))


BODIES = [
    distributed,
    chosen_by_noise,
    cast_first,
    constant,
    named_anew,
    dropped_in_place,
    changed_as_another,
    drawn_in_place,
    assigned_in_parts,
    changed_in_parts,
    part_of_a_buffer,
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
    Model("masked transformer", Masked, cross_entropy, labels, SIGNALS),
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


def base_of_a_view(m: Any, h: Tensor) -> Tensor:
    h = h * 1
    h.view(-1, 2, 3).mul_(2)
    return h


def transposed_by_einsum(m: Any, h: Tensor) -> Tensor:
    h = h.view(-1, 2, 3) * 1
    return (F.relu(torch.einsum("bnc->bcn", h), inplace=True) + h.mT).reshape(-1, 6)


def dropped_nothing(m: Any, h: Tensor) -> Tensor:
    h = h * 1
    F.dropout2d(h[:, :, None, None], 0.0).mul_(2)
    return h


def turned_buffer(m: Any, h: Tensor) -> Tensor:
    m.mean.view(2, 3).mul_(2)
    return h * m.mean


def part_without(m: Any, h: Tensor) -> Tensor:
    h = h * 1
    with torch.no_grad():
        h[:, 0].zero_()
    return h


def other_part(m: Any, h: Tensor) -> Tensor:
    h = h * 1
    left, right = h[:, :3], h[:, 3:]
    left.mul_(2)
    return h + right.sum()


def transformed(m: Any, h: Tensor) -> Tensor:
    return h + torch.fft.fft2(h).real


def turned(m: Any, h: Tensor) -> Tensor:
    pairs = torch.view_as_complex(h.reshape(-1, 3, 2))
    return torch.view_as_real(pairs * torch.polar(torch.ones(3), torch.arange(3.0))).flatten(1)


def doubled_on_the_way_back(m: Any, h: Tensor) -> Tensor:
    h.register_hook(lambda d: 2 * d)
    return h


REFUSED: list[tuple[Forward, str]] = [
    (wider, r"forward replaces the buffer 1\.mean, \(6,\) of torch\.float64, by a tensor \(7, 6\) of torch\.float64"),
    (halves, r"forward replaces the buffer 1\.count, \(\) of torch\.int64, by a tensor \(\) of torch\.float"),
    (emptied, r"forward replaces the buffer 1\.mean, \(6,\) of torch\.float64, by nothing"),
    (lambda m, h: Reversed.apply(h), "Reversed is a torch.autograd.Function"),
    (lambda m, h: checkpoint(m.first, h, use_reentrant=True), "CheckpointFunction is a torch.autograd.Function"),
    (cast, "forward turns torch.autocast on for cpu"),
    (changed_without, r"in 1 \(Running\): aten.mul_.Tensor under no_grad changes"),
    *(
        (body, r"in 1 \(Running\): \w+ is read after a tensor in whose memory it lies was changed in place")
        for body in (seen_after, base_of_a_view, transposed_by_einsum, dropped_nothing)
    ),
    (turned_buffer, r"aten.mul_.Tensor changes \w+ in place, which others may see"),
    (part_without, r"aten.zero_.default under no_grad changes select in place, whose gradient goes on"),
    (other_part, r"in 1 \(Running\): slice_\w+ is read after a tensor in whose memory it lies was changed in place"),
    *((body, r"aten.\w+.default in 1 \(Running\) reads or makes complex numbers") for body in (transformed, turned)),
    (doubled_on_the_way_back, r"a tensor of forward has a hook \(register_hook\)"),
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


def test_a_hook_of_a_parameter_is_refused() -> None:
    model = Model("", nested(lambda m, h: h), cross_entropy, labels)
    module = model.build()
    module.get_parameter("1.last.weight").register_hook(lambda d: 0 * d)
    with pytest.raises(RequestError, match=r"1\.last\.weight has a hook \(register_hook\)"):
        ManualEngine(module, cross_entropy).prepare(model.part())


class Centred(nn.Module):
    """A loss with a running mean of its own."""

    def __init__(self, *, replaced: bool) -> None:
        super().__init__()
        self.replaced = replaced
        self.register_buffer("centre", torch.zeros(4))

    def forward(self, output: Tensor, target: Tensor) -> tuple[Tensor, int]:
        centre = 0.9 * self.centre + 0.1 * output.detach().mean(0)
        loss_sum, count = cross_entropy(output - self.centre, target)
        if self.replaced:
            self.centre = centre
        else:
            self.centre.copy_(centre)
        return loss_sum, count


def begun(m: Any, h: Tensor) -> Tensor:
    m.begun.fill_(value=True)
    return h


@pytest.mark.parametrize("kind", [ManualEngine, AutogradEngine])
@pytest.mark.parametrize("replaced", [False, True])
def test_a_loss_whose_buffer_moves_is_refused(kind: type[Engine], *, replaced: bool) -> None:
    model = Model("", nested(lambda m, h: h), cross_entropy, labels)
    with pytest.raises(RequestError, match=r"loss=loss\.centre: training changes this buffer of the loss"):
        kind(model.build(), Centred(replaced=replaced).double()).prepare(model.part())


@pytest.mark.parametrize("kind", [ManualEngine, AutogradEngine])
def test_booleans_that_move_are_refused(kind: type[Engine]) -> None:
    model = Model("", nested(begun), cross_entropy, labels)
    module = model.build()
    module.get_submodule("1").register_buffer("begun", torch.tensor(data=False))
    with pytest.raises(RequestError, match=r"buffer=1\.begun: training changes it, and booleans have no difference"):
        kind(module, cross_entropy).prepare(model.part())
