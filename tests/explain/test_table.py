"""The table has a row for each call, and its totals are those of the model."""

import pytest
import torch
from torch import nn

from distbp.data.part import Part
from distbp.explain.buckets import buckets
from distbp.explain.explain import Explanation
from distbp.explain.table import Row, rows
from tests.explain.models import MODELS, spare


def rows_of(explained: Explanation, bucket_bytes: int = 2**20) -> list[Row]:
    return rows(explained.program, explained.passes, buckets(explained.program, bucket_bytes=bucket_bytes))


@pytest.mark.parametrize("name", MODELS)
def test_a_row_for_each_call_and_every_parameter_once(name: str) -> None:
    module, loss, part = MODELS[name]()
    explained = Explanation.of(module, loss, part)
    found = rows_of(explained)
    read = {value for call in explained.program.graph.calls for value in call.values()}
    unread = any(slot.trainable and value not in read for value, slot in explained.program.graph.slots.items())
    assert len(found) == len(explained.program.graph.calls) + unread
    total = sum(p.numel() for p in module.parameters())
    assert sum(row.parameters for row in found) == total
    head, *lines = explained.table(bucket_bytes=2**20).splitlines()
    assert head.split() == ["module", "name", "equation", "shapes", "parameters", "FLOPs", "saved", "bucket"]
    closing = lines[len(found)].split()
    assert closing[:2] == ["total", f"{total:,}"]
    assert lines[-1] == f"the arena: {explained.passes.plan.size:,} bytes, kept from step to step"


def test_what_is_shown_is_the_source_of_the_program() -> None:
    explained = Explanation.of(*spare())
    assert explained.source == explained.program.source


def test_the_numbers_of_a_perceptron() -> None:
    module = nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 4))
    explained = Explanation.of(module, nn.MSELoss(), Part(0, (torch.randn(5, 8),), torch.randn(5, 4), 0))
    first, tanh, second, *_ = rows_of(explained, bucket_bytes=64)
    assert (first.module, first.name, first.equation) == ("0", "Linear linear", "y = x W^T + b")
    assert (first.shapes, first.parameters) == ("(5, 8) (16, 8) (16) -> (5, 16)", 8 * 16 + 16)
    assert [row.flops for row in (first, tanh, second)] == [2 * 5 * 8 * 16, 0, 2 * 5 * 16 * 4]
    assert [row.saved for row in (first, tanh)] == [0, 5 * 16 * 4]  # the derivative of tanh is known from its output
    assert (first.bucket, tanh.bucket, second.bucket) == ("2,3", "", "0,1")  # the last layer's gradients come first
    assert {row.bucket for row in rows_of(explained)} == {"0", ""}


class Gated(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(3, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        output: torch.Tensor = self.lstm(x)[0]
        return output


def test_the_products_of_an_lstm_count() -> None:
    explained = Explanation.of(Gated(), nn.MSELoss(), Part(0, (torch.randn(6, 2, 3),), torch.randn(6, 2, 4), 0))
    assert sum(row.flops for row in rows_of(explained)) == 2 * (6 * 2) * 4 * 4 * (3 + 4)


def test_frozen_and_unread_parameters() -> None:
    found = {row.module: row for row in rows_of(Explanation.of(*spare())) if row.parameters}
    assert (found["frozen"].parameters, found["frozen"].bucket) == (30, "")
    assert (found["spare"].name, found["spare"].parameters, found["spare"].bucket) == ("in no mapping", 5, "0")
