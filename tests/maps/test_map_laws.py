"""Laws over the tables of tests/maps/cases: (map x inputs x attributes) x (law). Float64 throughout."""

from collections.abc import Sequence
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
ATEN = [case for case in CASES if not case.op.startswith("distbp.")]
ONE_EACH = [*{(case.op, case.rule): case for case in reversed(CASES)}.values()]
LENGTHS = st.fixed_dictionaries({letter: st.integers(1, 6) for letter in SIZES})
EXACT = 1e-7  # central differences in float64 err by about 1e-10
SATURATED = 5e-6  # where a sigmoid or a tanh is flat, <dy, J v> is itself but the rounding of differences
FIRST_OUTPUT = {"aten.embedding_bag.padding_idx", "aten._embedding_bag.default"}  # torch fills the others as it likes

each_case = pytest.mark.parametrize("case", CASES, ids=str)
each_aten_case = pytest.mark.parametrize("case", ATEN, ids=str)


def _op(name: str) -> Any:
    namespace, packet, overload = name.split(".")
    return getattr(getattr(getattr(torch.ops, namespace), packet), overload)


def _arguments(case: Case, call: Call) -> dict[str, Any]:
    """Every argument of the op by its name: tensors in order, the others as given or by default."""
    inputs = iter(call.inputs)
    return {
        a.name: next(inputs) if "Tensor" in str(a.type) else call.attributes.get(a.name, a.default_value)
        for a in _op(case.op)._schema.arguments
    }


def _taped(case: Case) -> bool:
    """Whether torch's own backward pass runs: that of native_group_norm fails for a bias without a weight."""
    weight, bias = (case.inputs[1:3] + ("-", "-"))[:2]
    return case.op not in {"aten.group_norm.default", "aten.instance_norm.default"} or weight != "-" or bias == "-"


def _tensors(values: Any) -> list[Tensor]:
    return [x for x in tree_leaves(values) if isinstance(x, Tensor)]


def _obeys(case: Case, call: Call, transposed: float) -> None:
    assert transpose_error(call) < transposed
    if _taped(case):
        assert tape_error(call) < 1e-12
    if issubclass(case.rule, Turn):
        assert turn_error(call) < 1e-12


@each_case
def test_the_vjp_is_the_transpose_of_the_derivative(case: Case) -> None:
    _obeys(case, case.call(SIZES), EXACT)


@pytest.mark.parametrize("case", ONE_EACH, ids=str)
@settings(max_examples=8)
@given(sizes=LENGTHS, seed=st.integers(0, 2**20))
def test_it_is_so_for_every_shape(case: Case, sizes: dict[str, int], seed: int) -> None:
    _obeys(case, case.call(sizes, seed), SATURATED)


@each_aten_case
def test_forward_is_the_op(case: Case) -> None:
    call = case.call(SIZES)
    given = {k: list(v) if isinstance(v, tuple) else v for k, v in _arguments(case, call).items()}
    torch.manual_seed(call.seed)
    theirs, ours = _tensors(_op(case.op)(**given)), call.forward()[0]
    assert len(ours) == len(theirs)
    for y, t in [*zip(ours, theirs, strict=True)][: 1 if case.op in FIRST_OUTPUT else None]:
        assert (y.shape, y.dtype) == (t.shape, t.dtype)
        assert torch.equal(y, t) or distance(y, t) < 1e-13


@each_case
def test_the_table_gives_this_map(case: Case) -> None:
    call = case.call(SIZES)
    attributes = call.attributes
    if case in ATEN:
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
        assert (d.shape, d.dtype) == (inputs[i].shape, inputs[i].dtype)
    assert all(map(torch.equal, before, _tensors([inputs, d_y])))


@each_case
def test_both_passes_can_be_seen_without_numbers(case: Case) -> None:
    call = case.call(SIZES)
    real = call.forward()[0]
    with torch.no_grad(), FakeTensorMode() as mode:  # type: ignore[no-untyped-call]
        inputs, d_y = tree_map(lambda x: mode.from_tensor(x) if isinstance(x, Tensor) else x, (call.inputs, _one(real)))
        drawn = {"generator": torch.Generator()} if case.rule.random else {}
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
