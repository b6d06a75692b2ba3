"""Laws over the tables of tests/maps/cases: (map x inputs x attributes) x (law). Float64 throughout."""

import re
from collections.abc import Callable, Sequence
from importlib import import_module
from pkgutil import iter_modules
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch._subclasses import FakeTensorMode
from torch.utils._pytree import tree_leaves, tree_map

from distbp.maps import registry
from distbp.maps.base import Turn
from distbp.maps.check import Call, distance, tape_error, transpose_error, turn_error
from tests.maps import cases
from tests.maps.case import SIZES, Case

CASES: list[Case] = [
    case for module in iter_modules(cases.__path__) for case in import_module(f"{cases.__name__}.{module.name}").CASES
]
OURS = "distbp."  # an op that torch does not have
MAPS: dict[Any, list[Case]] = {}  # the cases of each map for each op
for one in CASES:
    MAPS.setdefault((one.op, one.rule), []).append(one)
LENGTHS = st.fixed_dictionaries({letter: st.integers(1, 6) for letter in SIZES})
EXACT = 1e-7, 1e-12  # of the transpose by central differences, and of the tape
NONE_KNOWN = "is not differentiable with respect to argument|derivative for .* is not implemented"  # so torch says it
FLAT = 5e-6, 1e-10  # where a tanh or a sigmoid is all but constant, both are quotients of two roundings

Law = Callable[[Case], None]


def each_case(law: Law, maps: Sequence[list[Case]] = tuple(MAPS.values())) -> Callable[[list[Case]], None]:
    """``law`` as one test for each map, which tells every case that breaks it: a test a case outlasts the law."""

    def test(cases: list[Case]) -> None:
        broken = []
        for case in cases:
            try:
                law(case)
            except Exception as failure:
                failure.add_note(f"in {case}")
                broken.append(failure)
        if broken:
            raise ExceptionGroup(f"{len(broken)} of {len(cases)} cases", broken)

    test.__doc__ = law.__doc__
    return pytest.mark.parametrize("cases", maps, ids=_told)(test)


def each_aten_case(law: Law) -> Callable[[list[Case]], None]:
    return each_case(law, [cases for cases in MAPS.values() if not cases[0].op.startswith(OURS)])


def _told(cases: list[Case]) -> str:
    return f"{cases[0].rule.__name__}-{cases[0].op}"


def _op(name: str) -> Any:
    namespace, packet, overload = name.split(".")
    return getattr(getattr(getattr(torch.ops, namespace), packet), overload)


def _torch(case: Case, call: Call) -> list[Tensor]:
    """What the op itself makes of the call."""
    given = {k: list(v) if isinstance(v, tuple) else v for k, v in _arguments(case, call).items()}
    torch.default_generator.manual_seed(call.seed)  # torch.manual_seed takes a millisecond for other devices' sake
    return _tensors(_op(case.op)(**given))


def _arguments(case: Case, call: Call) -> dict[str, Any]:
    """Every argument of the op by its name: tensors in order, the others as given or by default."""
    inputs = iter(call.inputs)
    return {
        a.name: next(inputs) if "Tensor" in str(a.type) else call.attributes.get(a.name, a.default_value)
        for a in _op(case.op)._schema.arguments
    }


def _taped(case: Case) -> bool:
    """Whether torch's own backward pass runs: that of native_group_norm fails for a bias without a weight."""
    if case.op not in {"aten.group_norm.default", "aten.instance_norm.default"}:
        return True
    _, weight, bias, *_ = case.inputs
    return bool(weight != "-" or bias == "-")


def _tensors(values: Any) -> list[Tensor]:
    return [x for x in tree_leaves(values) if isinstance(x, Tensor)]


def _obeys(case: Case, call: Call, tolerances: tuple[float, float]) -> None:
    transposed, taped = tolerances
    assert transpose_error(call) < transposed
    if _taped(case):
        assert tape_error(call) < taped
    if issubclass(case.rule, Turn):
        assert turn_error(call) < 1e-12


@each_case
def test_the_vjp_is_the_transpose_of_the_derivative(case: Case) -> None:
    _obeys(case, case.call(SIZES), EXACT)


@pytest.mark.parametrize("case", [cases[0] for cases in MAPS.values()], ids=str)
@settings(max_examples=8, derandomize=True)  # 300 maps: a rare kink or a flat place would end a run now and then
@given(sizes=LENGTHS, seed=st.integers(0, 2**20))
def test_it_is_so_for_every_shape(case: Case, sizes: dict[str, int], seed: int) -> None:
    _obeys(case, case.call(sizes, seed), FLAT)


@each_aten_case
def test_an_input_without_a_gradient_has_none_on_the_tape(case: Case) -> None:
    call = case.call(SIZES)
    formed = call.vjp(call.cotangents())
    left = [x for i, x in enumerate(call.opened()) if i not in formed and x is not None and x.is_floating_point()]
    for x in left:
        x.requires_grad_()
    try:
        outputs = [y for y in _torch(case, call) if y.requires_grad]
        d_y = [torch.rand_like(y) for y in outputs]
        formed_too = torch.autograd.grad(outputs, left, d_y, materialize_grads=True) if outputs else ()
    except RuntimeError as error:
        if not re.search(
            "is not differentiable with respect to argument|derivative for .* is not implemented", str(error)
        ):
            raise
        formed_too = ()
    assert not any(d.any() for d in formed_too)


@each_aten_case
def test_forward_is_the_op(case: Case) -> None:
    call = case.call(SIZES)
    theirs, ours = _torch(case, call), call.forward()[0]
    assert len(ours) == len(theirs)
    read = 1 if "embedding_bag" in case.op else None  # what torch's backward pass alone reads is as the call needs it
    for y, t in [*zip(ours, theirs, strict=True)][:read]:
        assert (y.shape, y.dtype) == (t.shape, t.dtype)
        assert torch.equal(y, t) or distance(y, t) < 1e-13


@each_case
def test_the_table_gives_this_map(case: Case) -> None:
    call = case.call(SIZES)
    attributes = call.attributes
    if not case.op.startswith(OURS):
        tensors = {a.name for a in _op(case.op)._schema.arguments if "Tensor" in str(a.type)}
        attributes = {k: v for k, v in _arguments(case, call).items() if k not in tensors}
        assert attributes.keys() >= call.attributes.keys()
    assert registry.find(case.op, call.inputs, attributes) is case.rule


@each_case
def test_gradients_are_formed_as_inputs_and_nothing_else_changes(case: Case) -> None:
    call = case.call(SIZES)
    d_y, inputs = call.cotangents(), call.opened()
    before = [x.clone() for x in _tensors([inputs, d_y])]
    for i, d in call.vjp(d_y).items():
        x = inputs[i]
        assert x is not None
        assert (d.shape, d.dtype) == (x.shape, x.dtype)
    assert all(map(torch.equal, before, _tensors([inputs, d_y])))


@each_case
def test_both_passes_can_be_seen_without_numbers(case: Case) -> None:
    call = case.call(SIZES)
    real = call.forward()[0]
    with torch.no_grad(), FakeTensorMode() as mode:
        inputs, d_y = tree_map(lambda x: mode.from_tensor(x) if isinstance(x, Tensor) else x, (call.inputs, _one(real)))
        drawn = {"generator": None} if case.rule.random else {}  # as a program is recorded
        y, saved = case.rule.forward(*inputs, **call.attributes, **drawn)
        gradients = [(inputs, case.rule.vjp(saved, d_y))]
        if issubclass(case.rule, Turn):
            gradients += [(inputs, case.rule.turn(d_y, *inputs, **call.attributes)[1])]
    assert [(t.shape, t.dtype) for t in _tensors(y)] == [(t.shape, t.dtype) for t in real]
    for xs, ds in gradients:
        assert len(ds) == len(xs)
        assert all(d is None or d.shape == x.shape for x, d in zip(_opened(xs), _opened(ds), strict=True))


def _one(outputs: Sequence[Tensor]) -> Any:
    return outputs[0] if len(outputs) == 1 else tuple(outputs)


def _opened(values: Sequence[Any]) -> list[Any]:
    return [item for value in values for item in (value if isinstance(value, tuple | list) else (value,))]


def test_every_map_is_in_the_table_of_cases() -> None:
    ours = {rule for _, rule in registry.table() if rule.__module__.startswith("distbp.maps.")}
    assert ours == {case.rule for case in CASES}


@pytest.mark.parametrize(("op", "rule"), registry.table(), ids=str)
def test_every_map_says_its_equations(op: str, rule: Any) -> None:
    lines = rule.__doc__.strip().splitlines()
    assert lines[0].count("=") >= 1
    assert lines[1].strip().startswith("d")


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_dropout_draws_the_masks_of_torch(p: float) -> None:
    x = torch.randn(64, 32)
    torch.manual_seed(11)
    theirs = torch.nn.Dropout(p)(x)
    rule = registry.find("aten.dropout.default", [x], {"p": p, "train": True})
    assert rule is not None
    ours, _ = rule.forward(x, p=p, train=True, generator=torch.Generator().manual_seed(11))
    assert torch.equal(ours, theirs)
