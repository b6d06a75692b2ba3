"""What is right is found right, on every model that the engines are tried on."""

import pytest
import torch
from torch import nn

from distbp.check.check import Check
from distbp.data.part import Part
from distbp.errors import RequestError
from tests.engines.models import MODELS, Model, cross_entropy


@pytest.mark.parametrize("model", MODELS, ids=str)
def test_every_law_holds(model: Model) -> None:
    bad = [str(f) for f in Check(model.build(), model.loss, model.part()).findings() if not f.holds]
    assert bad == []


class Drawing(nn.Module):
    """Dropout between the layers of an LSTM and within attention, where each engine draws its own."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(6, 8, 2, dropout=0.4, batch_first=True)
        self.attention = nn.MultiheadAttention(8, 2, dropout=0.3, batch_first=True)
        self.norm = nn.BatchNorm1d(5)
        self.last = nn.Linear(8, 4)

    def forward(self, x):
        h = self.lstm(x)[0]
        return self.last(self.norm(h + self.attention(h, h, h, need_weights=False)[0]).mean(1))


def test_programs_that_draw_are_compared_with_their_own_draws() -> None:
    torch.manual_seed(0)
    part = Part(0, (torch.randn(4, 5, 6),), torch.tensor([0, 1, 2, 3]), 5)
    sections = list(Check(Drawing(), cross_entropy, part).sections())
    assert [title for title, _ in sections] == [
        "every mapping, alone",
        "the program",
        "the program, in evaluation mode",
        "the program, in its own dtype",
    ]
    assert [str(f) for _, found in sections for f in found if not f.holds] == []


class Float32(nn.Module):
    """A model that names float32, and torch's default, in its forward pass."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 3)

    def forward(self, x):
        h = self.layer(x.float() / 255) * torch.ones(3) + torch.rand(()).type(torch.float32) * 0
        return torch.zeros(h.shape, dtype=torch.float32).index_add(0, torch.tensor([0, 0, 1, 1, 2, 2]), h)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_a_model_that_names_its_dtype_is_examined_in_float64(dtype: torch.dtype) -> None:
    pictures = torch.randint(256, (6, 4), dtype=torch.uint8).to(dtype)
    part = Part(0, (pictures,), torch.randint(3, (6,)), 0)
    found = list(Check(Float32(), nn.CrossEntropyLoss(), part).findings())
    assert [str(f) for f in found if not f.holds] == []
    assert len(found) > 20
    assert torch.get_default_dtype() == torch.float32


def test_what_trains_nothing_is_refused() -> None:
    frozen = nn.Linear(4, 3).requires_grad_(requires_grad=False)
    for module in (frozen, nn.ReLU()):
        with pytest.raises(RequestError, match="nothing to train"):
            Check(module, nn.MSELoss(), Part(0, (torch.randn(6, 4),), torch.randn(6, 3), 0))
