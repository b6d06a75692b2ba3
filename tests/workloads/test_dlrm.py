"""DLRM: its products, its twin in plain torch, the area under the curve, and the two kinds of tables."""

import builtins
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from distbp.data.adult import People
from distbp.errors import RequestError
from distbp.workloads.area import area
from distbp.workloads.base import Workload
from distbp.workloads.columns import MISSING, hashed, people
from distbp.workloads.dlrm import accuracy, cross_entropy, dlrm, with_area, with_label
from tests.engines.agreement import beyond, excesses
from tests.workloads.small.recommendation import clicks
from tests.workloads.wide import ENGINES, batches, gradients, trained, widened

RECIPE: dict[str, Any] = {"bottom": [7, 4], "top": [9, 5], "buckets": 20, "seed": 0}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("clicks")


def workload(folder: Path, **changes: Any) -> Workload:
    return dlrm(**{**RECIPE, "path": str(clicks(folder)), "cache": str(folder / "cache"), **changes})


class Twin(nn.Module):
    """DLRM pair by pair, on dense tables."""

    def __init__(self, weights: dict[str, Tensor]) -> None:
        super().__init__()
        self.weights = nn.ParameterDict({name.replace(".", "/"): w.clone() for name, w in weights.items()})

    def layer(self, name: str, x: Tensor) -> Tensor:
        return x @ self.weights[f"{name}/weight"].T + self.weights[f"{name}/bias"]

    def forward(self, numbers: Tensor, categories: Tensor) -> Tensor:
        x = torch.relu(self.layer("bottom/2", torch.relu(self.layer("bottom/0", numbers))))
        v = [x, *(self.weights[f"tables/{f}/weight"][categories[:, f]] for f in range(26))]
        products = [(v[i] * v[j]).sum(1) for i in range(27) for j in range(i)]
        y = torch.hstack([x, torch.stack(products, 1)])
        y = torch.relu(self.layer("top/2", torch.relu(self.layer("top/0", y))))
        return torch.sigmoid(self.layer("head", y)[:, 0])


@pytest.mark.parametrize("engine", ENGINES)
def test_fifty_steps_are_those_of_a_twin_in_plain_torch(folder: Path, tmp_path: Path, engine: str) -> None:
    job = widened(workload(folder))
    twin = Twin(dict(job.module.named_parameters()))
    optimizer = torch.optim.Adagrad(twin.parameters(), lr=0.02)
    for part in batches(job.training, 20):
        optimizer.zero_grad()
        F.binary_cross_entropy(twin(*part.inputs), part.target).backward()
        optimizer.step()
    ours = trained(job, engine, tmp_path, batch_size=20, optimizer="adagrad", lr=0.02)
    for name, weight in twin.weights.items():
        torch.testing.assert_close(ours[name.replace("/", ".")], weight.detach(), rtol=1e-8, atol=1e-8)


def test_gradients_in_float32_hold_to_the_contract(folder: Path) -> None:
    (part, *_) = batches(workload(folder).training, 40)
    found = {engine: gradients(workload(folder), engine, part) for engine in ENGINES}
    exact_job = widened(workload(folder))
    (exact_part, *_) = batches(exact_job.training, 40)
    exact = gradients(exact_job, "autograd", exact_part)
    assert beyond(1.0, excesses(found["manual"], found["autograd"], exact)) == {}


@given(st.lists(st.tuples(st.integers(-3, 3), st.integers(0, 1)), min_size=2))
def test_the_area_is_the_share_of_pairs_in_order(examples: list[tuple[int, int]]) -> None:
    scores, labels = torch.tensor(examples, dtype=torch.float64).T
    above = [
        (float(p) > float(q)) + 0.5 * (float(p) == float(q)) for p in scores[labels == 1] for q in scores[labels == 0]
    ]
    found = area(scores, labels)
    assert found == pytest.approx(np.mean(above), abs=1e-12) if above else np.isnan(found)


def test_the_area_of_what_is_no_number_is_none() -> None:
    assert np.isnan(area(torch.tensor([0.0, torch.nan, 1.0]), torch.tensor([0.0, 1.0, 1.0])))


def test_the_loss_and_the_accuracy_are_sums_over_the_examples() -> None:
    output, target = torch.tensor([2.0, -1.0, 0.5, -3.0]), torch.tensor([1.0, 1.0, 0.0, 0.0])
    total, count = cross_entropy(output, target)
    likely = torch.tensor([2.0, -1.0, -0.5, 3.0]).sigmoid()
    assert total.item() == pytest.approx(-likely.log().sum().item())
    assert count == 4
    assert accuracy(output, target)["accuracy"].item() == 2
    metrics = with_area({"loss": 0.5, "accuracy": 0.5}, with_label(output, target).double())
    assert metrics == {"loss": 0.5, "accuracy": 0.5, "logloss": 0.5, "auc": 0.75}


def test_clicks_are_logarithms_and_hashed_rows(folder: Path) -> None:
    job = workload(folder)
    assert (len(job.training), len(job.splits["test"])) == (54, 6)
    lines = clicks(folder).read_text().splitlines()
    (numbers, categories), labels = job.splits["test"].batch(np.array([5, 0]), np.empty((2, 0)))
    for k, row in enumerate([59, 54]):
        fields = lines[row].split("\t")
        logarithms = [np.log1p(max(0, int(field or 0))) for field in fields[1:14]]
        assert numbers[k].tolist() == pytest.approx(logarithms, rel=1e-6)
        assert [number == MISSING for number in categories[k].tolist()] == [field == "" for field in fields[14:]]
        assert labels[k].item() == int(fields[0])
    assert categories.min() >= 0
    assert categories.max() < 20


def test_hashing_spreads_ids_over_the_rows_but_the_first() -> None:
    counts = np.bincount(hashed(np.arange(20_000), 21), minlength=21)
    assert counts[MISSING] == 0
    assert np.all(abs(counts[1:] - 1000) < 200)
    assert hashed(np.array([-1, 2**32 - 1]), 2).tolist() == [MISSING, 1]


def test_people_are_standardised_and_numbered_by_the_training_rows() -> None:
    table = People(
        np.array([[0.0, 5.0], [np.e - 1, 5.0], [9.0, 5.0]]), np.array([["b", "x"], ["a", "x"], ["c", "y"]]),
        np.array([0, 1, 1], np.uint8),
    )  # fmt: skip
    training, test, heights = people(table, np.array([0, 1]), np.array([2]))
    assert heights == [3, 2]
    (numbers, categories), labels = training.batch(np.arange(2), np.empty(0))
    assert torch.allclose(numbers, torch.tensor([[-1.0, 0.0], [1.0, 0.0]]))
    assert (categories.tolist(), labels.tolist()) == ([[2, 1], [1, 1]], [0.0, 1.0])
    assert test.batch(np.arange(1), np.empty(0))[0][1].tolist() == [[MISSING, MISSING]]


def test_the_real_people_arrive(tmp_path: Path) -> None:
    job = dlrm(**{**RECIPE, "path": None, "cache": str(tmp_path)})
    assert (len(job.training), len(job.splits["test"])) == (39_074, 9_768)
    (numbers, categories), labels = job.training.batch(np.arange(len(job.training)), np.empty(0))
    assert numbers.shape == (39_074, 6)
    assert torch.allclose(numbers.mean(0), torch.zeros(6), atol=1e-4)
    assert labels.mean().item() == pytest.approx(0.2393, abs=1e-4)
    heights = torch.tensor([bag.num_embeddings for bag in job.module.tables])
    assert bool((categories < heights).all())


def test_without_pyarrow_the_ways_out_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def importing(name: str, *rest: Any) -> Any:
        if name.startswith("pyarrow"):
            raise ImportError
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", importing)
    monkeypatch.setattr("distbp.workloads.dlrm.fetch", lambda *_: tmp_path)
    with pytest.raises(RequestError, match=r"pip install 'distbp\[tables\]'"):
        dlrm(**{**RECIPE, "path": None, "cache": str(tmp_path)})
