"""Laws over a table: (map x attributes) x (shapes) x (law). Float64 throughout."""

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from distbp.maps import registry
from distbp.maps.check import destination_error, distance, tape_error, transpose_error
from tests.maps.calls import CASES, SIZES, Case

SHAPES = st.fixed_dictionaries({letter: st.integers(1, 6) for letter in "NTIOC"})


def _op(name: str) -> Any:
    namespace, packet, overload = name.split(".")
    return getattr(getattr(getattr(torch.ops, namespace), packet), overload)


@pytest.mark.parametrize("case", CASES, ids=str)
@settings(max_examples=4, deadline=None)
@given(sizes=SHAPES, seed=st.integers(0, 2**20))
def test_the_vjp_is_the_transpose_of_the_derivative(case: Case, sizes: dict[str, int], seed: int) -> None:
    call = case.call(sizes, seed)
    if "ignore_index" in case.attributes and not bool((call.inputs[1] != 1).any()):
        return  # every example is ignored: the mean is 0 / 0, in torch as here
    assert transpose_error(call) < 1e-7
    assert tape_error(call) < 1e-13


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_gradient_overwrites_once_and_adds_later(case: Case) -> None:
    assert destination_error(case.call(SIZES)) < 1e-14


@pytest.mark.parametrize("case", CASES, ids=str)
def test_forward_is_the_op(case: Case) -> None:
    call = case.call(SIZES)
    torch.manual_seed(call.seed)
    theirs = _op(case.op)(*call.inputs, **call.attributes)
    ours = call.forward(call.inputs)[0][0]
    assert ours.shape == theirs.shape
    assert distance(ours, theirs) < 1e-14


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_table_gives_this_map(case: Case) -> None:
    call = case.call(SIZES)
    defaults = {a.name: a.default_value for a in _op(case.op)._schema.arguments}
    assert registry.find(case.op, call.inputs, {**defaults, **call.attributes}) is case.rule


@pytest.mark.parametrize("case", CASES, ids=str)
def test_owned_gradients_share_no_memory(case: Case) -> None:
    call = case.call(SIZES)
    if not case.rule.owned:
        return
    d_y = call.cotangents()
    formed = call.gradients(d_y)
    others = [t.untyped_storage().data_ptr() for t in (*d_y, *call.inputs) if t is not None]
    own = [d.untyped_storage().data_ptr() for d in formed.values()]
    assert len({*others, *own}) == len({*others}) + len(own)
    assert all(d.is_contiguous() or 0 not in d.stride() for d in formed.values())


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
    case = Case("aten.dropout.default", registry.find("aten.dropout.default", [x], {"p": p, "train": True}), ())
    ours, _ = case.rule.forward(x, p=p, train=True, generator=torch.Generator().manual_seed(11))
    assert torch.equal(ours, theirs)
