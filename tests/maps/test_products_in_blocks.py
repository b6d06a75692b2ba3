"""Products of few rows and a long inner length, which are taken block by block."""

import pytest
import torch
from torch import nn

from distbp.data.part import Part
from distbp.engines.autograd import AutogradEngine
from distbp.engines.manual import ManualEngine
from distbp.maps.linear import BLOCK, FEW, LONG, product
from tests.engines.agreement import assert_equal, run
from tests.engines.models import cross_entropy


@pytest.mark.parametrize("rows", [1, FEW, FEW + 1])
@pytest.mark.parametrize("inner", [LONG - 1, LONG, 2 * LONG + 7])
@pytest.mark.parametrize("added", [True, False])
def test_a_product_is_the_whole_one(rows: int, inner: int, *, added: bool) -> None:
    draw = torch.Generator().manual_seed(0)
    a, b, c = (torch.randn(*shape, generator=draw).double() for shape in ((rows, inner), (inner, BLOCK), (BLOCK,)))
    torch.testing.assert_close(product(a, b, c if added else None), a @ b + c * added, rtol=1e-12, atol=1e-11)


def test_a_program_with_such_layers_has_the_gradients_of_the_tape() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(LONG + 8, LONG), nn.ReLU(), nn.Linear(LONG, BLOCK)).double()
    part = Part(0, (torch.randn(5, LONG + 8, dtype=torch.float64),), torch.randint(BLOCK, (5,)), draws=0)
    manual, tape = (run(kind(net, cross_entropy), part) for kind in (ManualEngine, AutogradEngine))
    assert "addmm_(" in manual.engine.source  # type: ignore[attr-defined]
    assert_equal(manual, tape)
