"""What only the manual engine has: programs, their fallback, maps of a user's own, and its ways to say no."""

import gc
import threading
import weakref
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from distbp.data.part import Part
from distbp.engines.autograd import AutogradEngine
from distbp.engines.base import Destination
from distbp.engines.manual import ManualEngine
from distbp.errors import RequestError
from distbp.maps.base import Map
from distbp.maps.registry import find, register_map
from tests.engines.models import MODELS, Model, cross_entropy, labels, perceptron


class Function(nn.Module):
    """Two linear layers with a function between them."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.first, self.last, self.function = nn.Linear(6, 6), nn.Linear(6, 4), function

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.function(self.first(x)))


def _model(function: Callable[[Tensor], Tensor]) -> Model:
    return Model("function", lambda: Function(function), cross_entropy, labels)


def _gradients(engine: Any, part: Part) -> dict[str, Tensor]:
    places = {name: torch.empty_like(p, requires_grad=False) for name, p in engine.module.named_parameters()}
    engine.prepare(part)
    engine.gradients(part, Destination(places))
    return places


def _agree(module: nn.Module, part: Part, **settings: Any) -> ManualEngine:
    engine = ManualEngine(module, cross_entropy, **settings)
    ours, theirs = _gradients(engine, part), _gradients(AutogradEngine(module, cross_entropy), part)
    for name, gradient in theirs.items():
        assert float((ours[name] - gradient).norm()) <= 1e-12 * float(gradient.norm()), name
    return engine


class Copies(TorchDispatchMode):
    """Counts the bytes that are copied or added into given memory instead of being formed there."""

    def __init__(self, memory: Tensor) -> None:
        super().__init__()
        self.storage = memory.untyped_storage().data_ptr()
        self.bytes = 0
        self.formed: list[int] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        written = func._schema.is_mutable and isinstance(result, Tensor)
        if written and result.untyped_storage().data_ptr() == self.storage:
            self.formed.append(result.data_ptr())
            self.bytes += result.nbytes * (func.overloadpacket is torch.ops.aten.copy_)
        return result


def test_gradients_are_formed_where_they_travel() -> None:
    module = perceptron(nn.ReLU(), nn.Tanh()).double()
    part = Model("", lambda: module, cross_entropy, labels).part()
    flat = torch.full((sum(p.numel() for p in module.parameters()),), float("nan"), dtype=torch.float64)
    names, sizes = zip(*((n, p.numel()) for n, p in module.named_parameters()), strict=True)
    shapes = [p.shape for p in module.parameters()]
    views = {n: piece.view(s) for n, s, piece in zip(names, shapes, flat.split(list(sizes)), strict=True)}
    engine = ManualEngine(module, cross_entropy)
    engine.prepare(part)
    engine.gradients(part, Destination(views))
    flat.fill_(float("nan"))
    with Copies(flat) as copies:
        engine.gradients(part, Destination(views))
    assert copies.bytes == 0
    assert sorted(copies.formed) == sorted(view.data_ptr() for view in views.values())
    assert bool(torch.isfinite(flat).all())


@pytest.mark.parametrize("model", MODELS, ids=str)
def test_the_arena_holds_nothing_from_step_to_step(model: Model) -> None:
    """Poisoned with NaN between two steps, it gives the same bits."""
    engine = ManualEngine(model.build(), model.loss)
    first = _gradients(engine, model.part())
    for program in engine._programs.values():
        program.arena.memory.fill_(255)  # NaN in every floating-point type
    second = _gradients(engine, model.part())
    assert all(torch.equal(first[name], second[name]) for name in engine.emissions)


def test_programs_of_all_shapes_lie_in_one_arena() -> None:
    model = Model("", lambda: perceptron(nn.Tanh()), cross_entropy, labels)
    engine = ManualEngine(model.build(), cross_entropy)
    expected = {n: _gradients(ManualEngine(engine.module, cross_entropy), model.part(n)) for n in (7, 70, 3)}
    sizes = []
    for n in (7, 70, 3, 7, 70):
        found = _gradients(engine, model.part(n))
        assert all(torch.equal(found[name], gradient) for name, gradient in expected[n].items())
        sizes.append(engine._arena.memory.nbytes)
    assert {program.arena for program in engine._programs.values()} == {engine._arena}
    assert sizes[0] < sizes[1] == sizes[2] == sizes[3] == sizes[4]


class Weighed(nn.Module):
    """Scores times a tensor in an attribute, and times a buffer where there is one."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.scale = nn.Linear(6, 4, dtype=torch.float64), torch.linspace(1, 2, 4, dtype=torch.float64)
        self.register_buffer("mask", None)

    def forward(self, x: Tensor) -> Tensor:
        y = self.layer(x) * self.scale
        return y if self.mask is None else y * self.mask


def test_what_is_put_into_the_place_of_a_tensor_or_of_none_counts() -> None:
    module, loss = Weighed(), nn.CrossEntropyLoss()
    part = Model("", lambda: module, loss, labels).part()
    four = torch.tensor([4.0, 1, 1, 2], dtype=torch.float64)
    changes: list[Callable[[], Any]] = [
        lambda: None,
        lambda: setattr(module, "scale", four.sqrt()),
        lambda: module.scale.mul_(2),
        lambda: setattr(module, "mask", four),
        lambda: setattr(loss, "weight", four / 2),
        lambda: setattr(module, "mask", None),
    ]
    engine, seen = ManualEngine(module, loss), []
    for change in changes:
        change()
        ours, theirs = _gradients(engine, part), _gradients(AutogradEngine(module, loss), part)
        assert all(torch.allclose(ours[name], gradient, rtol=1e-12, atol=0) for name, gradient in theirs.items())
        seen.append(float(ours["layer.weight"].norm()))
    assert len({*seen}) == len(changes)


def test_every_shape_and_mode_has_its_program_and_parameters_are_read_at_the_call() -> None:
    module = perceptron(nn.Dropout(0.5)).double()
    model = Model("", lambda: module, cross_entropy, labels)
    engine = ManualEngine(module, cross_entropy)
    for n, training in ((7, True), (3, True), (7, False), (7, True)):
        module.train(training)
        part = model.part(n)
        ours, theirs = _gradients(engine, part), _gradients(AutogradEngine(module, cross_entropy), part)
        assert all(torch.allclose(ours[name], theirs[name], rtol=1e-12, atol=0) for name in theirs)
        for p in module.parameters():
            p.data = p.data.clone() * 1.5
    assert len(engine._programs) == 3


class Turning(nn.Module):
    """Uses its layers in one order for small batches and in the other for large ones."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.last = nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        first, second = (self.a, self.b) if x.shape[0] < 5 else (self.b, self.a)
        return self.last(torch.tanh(second(torch.tanh(first(x)))))


def test_the_order_of_emissions_is_one_even_where_programs_differ() -> None:
    model = Model("", Turning, cross_entropy, labels)
    module = model.build()
    engine = ManualEngine(module, cross_entropy)
    engine.prepare(model.part(3))
    for n in (3, 7):
        order: list[str] = []
        places = {name: torch.empty_like(p, requires_grad=False) for name, p in module.named_parameters()}
        engine.gradients(model.part(n), Destination(places, complete=order.append))
        assert order == list(engine.emissions)
        assert engine.emissions[-1] == "a.bias"


@pytest.mark.parametrize("target", [None, {"label": torch.tensor([1, 0, 2]), "scale": 2.0}], ids=["none", "dict"])
def test_the_target_is_whatever_the_loss_takes(target: Any) -> None:
    def loss(output: Tensor, target: Any) -> tuple[Tensor, int]:
        if target is None:
            return (output**2).sum(), 3
        return F.cross_entropy(output * target["scale"], target["label"], reduction="sum"), 3

    module = perceptron(nn.Tanh()).double()
    part = Part(0, (torch.randn(3, 6, dtype=torch.float64),), target, 0)
    ours, theirs = (_gradients(kind(module, loss), part) for kind in (ManualEngine, AutogradEngine))
    assert all(torch.allclose(ours[name], theirs[name], rtol=1e-12, atol=1e-300) for name in theirs)


def test_activations_die_on_the_way_back() -> None:
    held: list[weakref.ref[Tensor]] = []
    alive: list[int] = []

    class Watch(Map):
        """y = x.
        dx = dy
        """

        opaque = True

        @staticmethod
        def forward(x: Tensor) -> tuple[Tensor, Tensor]:
            y = x.clone()
            held.append(weakref.ref(y))
            return y, y

        @staticmethod
        def vjp(_saved: Tensor, d_y: Tensor) -> tuple[Any, ...]:
            alive.append(sum(ref() is not None for ref in held))
            return (d_y,)

    register_map("distbp_test.watch.default")(Watch)
    op = _custom("distbp_test::watch", lambda x: x.clone())
    layers = [m for _ in range(4) for m in (nn.Linear(6, 6), _Apply(op))]
    module = nn.Sequential(*layers, nn.Linear(6, 4)).double()
    engine = ManualEngine(module, cross_entropy)
    gc.disable()
    try:
        _gradients(engine, Model("", lambda: module, cross_entropy, labels).part())
    finally:
        gc.enable()
    assert len(held) == 4
    assert alive == [4, 3, 2, 1]  # at each VJP, what the ones before it read is gone


class _Apply(nn.Module):
    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


def _custom(name: str, function: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    def body(x: Tensor) -> Tensor:
        return function(x)

    op = torch.library.custom_op(name, body, mutates_args=())
    op.register_fake(torch.empty_like)
    return op


def test_a_user_adds_a_map_for_an_op_of_their_own() -> None:
    op = _custom("distbp_test::softsign", lambda x: x / (1 + x.abs()))
    op.register_autograd(lambda ctx, d: d / (1 + ctx.x.abs()) ** 2, setup_context=_keep)

    @register_map("distbp_test::softsign")
    class Softsign(Map):
        """y = x / (1 + |x|).
        dx = dy / (1 + |x|)^2
        """

        @staticmethod
        def forward(x: Tensor) -> tuple[Tensor, Tensor]:
            return x / (1 + x.abs()), x

        @staticmethod
        def vjp(x: Tensor, d_y: Tensor) -> tuple[Any, ...]:
            return (d_y / (1 + x.abs()) ** 2,)

    model = _model(op)
    engine = _agree(model.build(), model.part())
    assert "y = x / (1 + |x|)" in engine.source


def _keep(ctx: Any, inputs: Any, output: Any) -> None:
    (ctx.x,) = inputs


FALLBACKS: list[Callable[[Tensor], Tensor]] = [
    torch.sinc,
    lambda x: torch.logcumsumexp(x, -1),
    lambda x: torch.hypot(x, x + 1),
    lambda x: torch.copysign(x, x + 1),
    lambda x: torch.rot90(x.unsqueeze(0), 2, [1, 2])[0],
    lambda x: x + torch.cummax(x, 1)[0],
    lambda x: torch.nanmean(x, 1, keepdim=True) * x,
]


@pytest.mark.parametrize("function", FALLBACKS)
def test_fallback_differentiates_just_that_op(function: Callable[[Tensor], Tensor]) -> None:
    model = _model(function)
    with pytest.raises(RequestError):
        ManualEngine(model.build(), cross_entropy).prepare(model.part())
    source = _agree(model.build(), model.part(), fallback="autograd").source
    assert "= Tape(torch.ops.aten." in source
    assert "torch.addmm(" in source


class Gain(nn.Module):
    """A parameter that the op without a map reads itself."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(6, 6), nn.Linear(6, 4)
        self.gain = nn.Parameter(torch.linspace(0.5, 1.5, 6))

    def forward(self, x: Tensor) -> Tensor:
        return self.last(torch.hypot(self.first(x), self.gain))


def test_fallback_gives_a_parameter_its_gradient() -> None:
    model = Model("", Gain, cross_entropy, labels)
    _agree(model.build(), model.part(), fallback="autograd")


class Pair(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(6, 4), nn.Linear(6, 4)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return self.a(x) + self.b(y)


def test_inputs_that_were_one_tensor_in_the_example_may_differ_later() -> None:
    model = Model("", Pair, cross_entropy, labels, ((6,), (6,)))
    module, part = model.build(), model.part()
    engine = ManualEngine(module, cross_entropy)
    engine.prepare(replace(part, inputs=(part.inputs[0], part.inputs[0])))
    ours, theirs = _gradients(engine, part), _gradients(AutogradEngine(module, cross_entropy), part)
    assert all(torch.allclose(ours[name], theirs[name], rtol=1e-12) for name in theirs)


class Counting(nn.Module):
    """Draws, by hand, and counts its calls in a buffer."""

    def __init__(self, forward: Callable[[Any, Tensor], Tensor]) -> None:
        super().__init__()
        self.last = nn.Linear(6, 4)
        self.register_buffer("calls", torch.zeros(()))
        self.body = forward

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.body(self, x))


def _branch(module: Any, x: Tensor) -> Tensor:
    return x if x.sum() > 0 else -x


def _count(module: Any, x: Tensor) -> Tensor:
    module.calls.add_(1)
    return x + module.calls


def chosen(x):
    """x by a draw for which there is no map."""
    return x * torch.multinomial(x.softmax(1), x.shape[1])


REFUSED = [
    (
        lambda: Function(torch.sinc),
        ["aten.sinc.default", "Function", "distbp/maps/arithmetic.py", "engine.fallback=autograd"],
    ),
    (lambda: nn.Sequential(nn.Linear(6, 6), Function(torch.sinc)), ["aten.sinc", "1 (Function)", "distbp/maps/"]),
    (lambda: Counting(_branch), ["torch.export cannot follow Counting", "control flow"]),
    (lambda: Counting(lambda m, x: chosen(x)), ["aten.multinomial.default", "Counting", "distbp/maps/noise.py"]),
    (lambda: Function(chosen), ["aten.multinomial.default", "Function"]),
    (lambda: Function(lambda x: x * x[0, 0].item()), ["engine=autograd"]),
    (
        lambda: Function(lambda x: x[:, :3] + torch.ones(2)),
        ["torch.export cannot follow Function", "wrong for this batch"],
    ),
]


@pytest.mark.parametrize(("module", "said"), REFUSED)
def test_what_has_no_program_is_refused_in_one_line(
    module: Callable[[], nn.Module], said: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    model = Model("", module, cross_entropy, labels)
    with pytest.raises(RequestError) as refused:
        ManualEngine(model.build(), cross_entropy).prepare(model.part())
    message = str(refused.value)
    assert message.startswith("engine=manual: ")
    assert "engine=autograd" in message
    assert "\n" not in message
    assert [word for word in said if word not in message] == []
    assert capfd.readouterr() == ("", "")


def test_fallback_does_not_draw() -> None:
    model = _model(chosen)
    with pytest.raises(RequestError, match="multinomial") as refused:
        ManualEngine(model.build(), cross_entropy, fallback="autograd").prepare(model.part())
    assert "fallback" not in str(refused.value)


@pytest.mark.parametrize("engine", [ManualEngine, AutogradEngine])
def test_a_loss_of_many_numbers_is_a_wrong_request(engine: Any) -> None:
    model = Model("", lambda: nn.Linear(6, 4), lambda o, t: F.cross_entropy(o, t, reduction="none"), labels)
    with pytest.raises(RequestError, match=r"loss=\(7,\)"):
        _gradients(engine(model.build(), model.loss), model.part())


def test_a_map_without_its_functions_is_a_wrong_request() -> None:
    with pytest.raises(RequestError, match="forward and vjp"):
        register_map("aten.sinc.default")(type("Half", (Map,), {"forward": None}))


@pytest.mark.parametrize(
    ("op", "when", "said"),
    [
        ("sinc", None, "namespace.name.overload"),
        ("torch.relu", None, "nearest: aten.relu.default"),
        ("aten.reluu.default", None, "nearest: aten.relu.default"),
        ("aten.relu.Tensor", None, "torch has no such op"),
        ("aten.sinc.default", 3, "when=3: a function"),
    ],
)
def test_a_map_for_what_is_no_op_is_a_wrong_request(op: str, when: Any, said: str) -> None:
    with pytest.raises(RequestError, match=said):
        register_map(op, **({} if when is None else {"when": when}))


def test_an_op_may_be_given_as_torch_has_it() -> None:
    taken = lambda inputs, _: inputs[0].shape == (1, 2, 3)  # noqa: E731 - no other test's

    @register_map(torch.ops.aten.sinc.default, when=taken)
    class Sinc(Map):
        """y = sinc x.
        dx = ..
        """

        @staticmethod
        def forward(x: Tensor) -> tuple[Tensor, Tensor]:
            return torch.sinc(x), x

        @staticmethod
        def vjp(_saved: Tensor, d_y: Tensor) -> tuple[Any, ...]:
            return (d_y,)

    assert find("aten.sinc.default", [torch.ones(1, 2, 3)], {}) is Sinc


WRONG_MAPS: dict[str, tuple[Any, Any, str]] = {
    "another shape": (lambda x: (x.sum(0), None), lambda s, d: (d,), r"forward .* gives \w+ as \(6,\) torch.float64"),
    "another dtype": (lambda x: (x.float(), None), lambda s, d: (d,), "forward .* torch.float32, not .* torch.float64"),
    "no pair": (lambda x: x, lambda s, d: (d,), "forward .* returns no pair"),
    "two outputs": (lambda x: ((x, x), None), lambda s, d: (d,), "forward .* gives 2 outputs, not 1"),
    "no gradients": (lambda x: (x, None), lambda s, d: None, "VJP .* returns no tuple of gradients"),
    "a gradient alone": (lambda x: (x, None), lambda s, d: d, "VJP .* returns no tuple of gradients"),
    "too many gradients": (lambda x: (x, None), lambda s, d: (d, d), "VJP .* gives 2 gradients for 1 inputs"),
    "a gradient of another shape": (lambda x: (x, None), lambda s, d: (d.sum(0),), r"VJP .* of shape \(6,\)"),
    "a look at numbers": (lambda x: (x * float(x.sum()), None), lambda s, d: (d,), "forward .* says opaque = True"),
}


@pytest.mark.parametrize("wrong", WRONG_MAPS)
def test_a_wrong_map_is_told_with_its_op_and_module(wrong: str) -> None:
    forward, vjp, said = WRONG_MAPS[wrong]
    name = wrong.replace(" ", "_")
    op = _custom(f"distbp_test::{name}", lambda x: x.clone())
    functions = {"forward": staticmethod(forward), "vjp": staticmethod(vjp), "__doc__": "y = x.\ndx = dy"}
    register_map(f"distbp_test::{name}")(type("Wrong", (Map,), functions))
    model = _model(op)
    with pytest.raises(RequestError, match=said) as refused:
        _gradients(ManualEngine(model.build(), cross_entropy), model.part())
    assert f"of the map of distbp_test.{name}.default in Function" in str(refused.value)


def test_a_map_that_fails_says_so_once(caplog: pytest.LogCaptureFixture) -> None:
    """Its exception is all: torch's log of ops that fail on tensors without numbers stays out, but only there."""
    op = _custom("distbp_test::narrow", lambda x: x.clone())

    @register_map("distbp_test::narrow")
    class Narrow(Map):
        """y = x A.
        dx = dy A^T
        """

        @staticmethod
        def forward(x: Tensor) -> tuple[Tensor, Tensor]:
            return x @ x.new_zeros(3, 3), x

        @staticmethod
        def vjp(_saved: Tensor, d_y: Tensor) -> tuple[Any, ...]:
            return (d_y,)

    model = _model(op)
    with pytest.raises(RuntimeError, match="same reduction dim") as failed:
        _gradients(ManualEngine(model.build(), cross_entropy), model.part())
    assert failed.value.__notes__ == ["in the forward of the map of distbp_test.narrow.default in Function"]
    assert caplog.messages == []
    with FakeTensorMode(), pytest.raises(RuntimeError, match="same reduction dim"):
        torch.mm(torch.zeros(7, 6), torch.zeros(3, 3))
    assert len(caplog.messages) == 1


def test_replacing_the_part_keeps_the_program() -> None:
    model = Model("", lambda: perceptron(nn.Tanh()), cross_entropy, labels)
    engine = ManualEngine(model.build(), cross_entropy)
    part = model.part()
    _gradients(engine, part)
    _gradients(engine, replace(part, draws=1, inputs=(part.inputs[0] + 1,)))
    assert len(engine._programs) == 1


def test_ranks_that_are_threads_lower_and_run_side_by_side() -> None:
    models = [model for model in MODELS if model.name in ("dropout", "tied", "residual", "frozen")]
    alone = [_places(model, model.build()) for model in models]
    modules = [model.build() for model in models]
    wrong: list[str] = []

    def rank(r: int) -> None:
        for _ in range(5):
            places = _places(models[r], modules[r])
            wrong.extend(name for name, place in places.items() if not torch.equal(place, alone[r][name]))

    ranks = [threading.Thread(target=rank, args=(r,)) for r in range(len(models))]
    for thread in ranks:
        thread.start()
    for thread in ranks:
        thread.join(60)
    assert wrong == []


def _places(model: Model, module: nn.Module) -> dict[str, Tensor]:
    places = {n: torch.empty_like(p, requires_grad=False) for n, p in module.named_parameters() if p.requires_grad}
    engine = ManualEngine(module, model.loss)
    engine.prepare(model.part())
    engine.gradients(model.part(), Destination(places))
    return places
