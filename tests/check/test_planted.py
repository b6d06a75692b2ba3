"""The check can fail: every planted fault is seen, and its layer named."""

from collections.abc import Callable
from functools import cache

import pytest

from distbp.check.check import Check
from distbp.check.report import first_bad
from tests.check.faults import IMAGES, TOKENS, Fault
from tests.check.models import images, tokens

FAULTS = [(images, name, fault) for name, fault in IMAGES.items()]
FAULTS += [(tokens, name, fault) for name, fault in TOKENS.items()]


@cache
def checked(model: Callable) -> Check:
    return Check(*model())


@pytest.mark.parametrize("model", [images, tokens])
def test_what_is_right_is_found_right(model: Callable) -> None:
    assert first_bad(list(checked(model).findings())) is None


@pytest.mark.parametrize(("model", "name", "fault"), FAULTS, ids=lambda x: x if isinstance(x, str) else "")
def test_a_fault_in_a_map_is_named_with_its_layer(
    model: Callable, name: str, fault: Fault, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fault.rule, "vjp", staticmethod(fault.vjp(fault.rule.vjp)))
    _, findings = next(checked(model).sections())
    bad = first_bad(findings)
    assert bad is not None
    assert bad.layer.split(" (")[0] == fault.layer
    if fault.vjp is not IMAGES["written in place over another's gradient"].vjp:
        assert {f.law for f in findings if not f.holds} >= {"tape"}
