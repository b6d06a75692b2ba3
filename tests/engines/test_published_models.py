"""The engines agree on the models that people train, in float64 and in float32.

Modules are in training mode and drop; only attention inside torch's kernel does not (see their files).
"""

import copy
import math
from collections.abc import Iterator
from statistics import median

import pytest
import torch
from torch import nn

from distbp.bench.models.case import Case
from distbp.bench.names import MODELS as OF_THE_BENCH
from distbp.data.part import Part
from distbp.engines.autograd import AutogradEngine
from distbp.engines.manual import ManualEngine
from tests.engines.agreement import Gradients, as_dtype, assert_equal, beyond, excesses, run, scales
from tests.engines.published.table import PUBLISHED, Published

pytestmark = pytest.mark.usefixtures("one_thread")


def part_of(case: Case) -> Part:
    return Part(0, case.inputs, case.target, draws=3)


def test_the_models_of_the_bench_are_all_there() -> None:
    assert {published.name for published in PUBLISHED} >= set(OF_THE_BENCH)


@pytest.mark.parametrize("published", PUBLISHED, ids=str)
def test_in_float64_they_are_equal(published: Published) -> None:
    case = published.case()
    module, part = case.module.double(), as_dtype(part_of(case), torch.float64)
    manual, autograd = (run(kind(module, case.loss), part) for kind in (ManualEngine, AutogradEngine))
    assert_equal(manual, autograd, published.vanishing)
    norms, whole = scales(autograd.places), math.hypot(*scales(autograd.places).values())
    assert all(norms[name] < 1e-12 * whole for name in norms if name.endswith(published.vanishing))


@pytest.mark.parametrize("published", PUBLISHED, ids=str)
def test_in_float32_the_manual_error_is_as_small(published: Published) -> None:
    """For each parameter in most of the seeds, and in every seed for all of the gradient as one vector.

    ResNet-50 has three million ReLUs here. In float32 ten or twenty of their inputs, all near zero, change sign, in
    either engine, and each moves the gradients of the layers around it by up to 1 %: in some seeds there are such in a
    layer where the other engine has none. So one seed says nothing about rounding there; the middle one of several
    does, and so does its smooth twin, which like the other models needs no second seed.
    """
    each = list(in_float32(published))
    for whole, _ in each:
        assert beyond(1, whole) == {}
    middle = {name: median(by_parameter[name] for _, by_parameter in each) for name in each[0][1]}
    assert beyond(1, middle) == {}


def in_float32(published: Published) -> Iterator[tuple[dict[str, float], dict[str, float]]]:
    """For each seed how much of the error that is allowed the manual engine makes: of the whole, and by parameter."""
    module = published.case().module
    if any(isinstance(layer, nn.Dropout) for layer in module.modules()):
        module.eval()  # in float32 the masks are drawn from other bits
    manual = None
    for seed in range(published.seeds):
        case = published.case(seed)
        module.load_state_dict(case.module.state_dict())
        manual = manual or ManualEngine(module, case.loss)
        part = part_of(case)
        precise = AutogradEngine(copy.deepcopy(module).double(), case.loss)
        exact = run(precise, as_dtype(part, torch.float64)).places
        ours, theirs = (run(engine, part).places for engine in (manual, AutogradEngine(module, case.loss)))
        yield excesses(*map(as_one, (ours, theirs, exact))), excesses(ours, theirs, exact, published.vanishing)


def as_one(gradients: Gradients) -> Gradients:
    """All gradients as one vector."""
    return {"the whole": torch.cat([gradient.double().flatten() for gradient in gradients.values()])}
