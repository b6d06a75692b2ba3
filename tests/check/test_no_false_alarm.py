"""What is right is found right, on every model that the engines are tried on."""

import pytest
import torch
from torch import nn

from distbp.check.check import Check
from distbp.data.part import Part
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
