"""Neural collaborative filtering: what is sampled, how it is ranked, and a twin in plain torch."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from distbp.data import order
from distbp.data.ratings import read_ratings
from distbp.errors import RequestError
from distbp.workloads.base import Workload
from distbp.workloads.neumf import cross_entropy, neumf
from distbp.workloads.ranking import hits_and_gains, places
from tests.engines.agreement import beyond, excesses
from tests.workloads.small.recommendation import ratings
from tests.workloads.wide import ENGINES, batches, gradients, trained, widened

RECIPE: dict[str, Any] = {
    "model": "neumf",
    "factors": 4,
    "layers": [12, 6, 3],
    "dropout": 0.0,
    "deviation": 0.5,
    "negatives": 3,
    "others": 20,
    "held_out": 2,
    "cache": "/nonexistent",
    "seed": 0,
}


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(ratings(tmp_path_factory.mktemp("ratings")))


def workload(table: str, **changes: Any) -> Workload:
    return neumf(**{**RECIPE, "path": table, **changes})


class Twin(nn.Module):
    """NeuMF as the paper's authors wrote it: a pair of a user and an item at a time, and a sigmoid."""

    def __init__(self, weights: dict[str, Tensor]) -> None:
        super().__init__()
        self.weights = nn.ParameterDict({name.replace(".", "/"): w.clone() for name, w in weights.items()})

    def forward(self, user: Tensor, item: Tensor) -> Tensor:
        w = {name.replace("/", "."): weight for name, weight in self.weights.items()}
        product = w["features.0.users.weight"][user] * w["features.0.items.weight"][item]
        deep = torch.hstack([w["features.1.users.weight"][user], w["features.1.items.weight"][item]])
        for layer in (1, 4):
            deep = (deep @ w[f"features.1.layers.{layer}.weight"].T + w[f"features.1.layers.{layer}.bias"]).clamp(min=0)
        return torch.sigmoid(torch.hstack([product, deep]) @ w["head.weight"][0] + w["head.bias"])


@pytest.mark.parametrize("engine", ENGINES)
def test_fifty_steps_are_those_of_a_twin_in_plain_torch(table: str, tmp_path: Path, engine: str) -> None:
    job = widened(workload(table))
    twin = Twin(dict(job.module.named_parameters()))
    optimizer = torch.optim.AdamW(twin.parameters(), lr=0.01, weight_decay=0.1)
    for part in batches(job.training, 20):
        users, items = part.inputs
        likely = twin(users.repeat_interleave(items.shape[1]), items.flatten())
        optimizer.zero_grad()
        F.binary_cross_entropy(likely, part.target.flatten()).backward()
        optimizer.step()
    ours = trained(job, engine, tmp_path, batch_size=20, optimizer="adamw", lr=0.01, weight_decay=0.1)
    for name, weight in twin.weights.items():
        torch.testing.assert_close(ours[name.replace("/", ".")], weight.detach(), rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("model", ["neumf", "gmf", "mlp"])
def test_gradients_in_float32_hold_to_the_contract(table: str, model: str) -> None:
    (part, *_) = batches(workload(table).training, 40)
    found = {engine: gradients(workload(table, model=model), engine, part) for engine in ENGINES}
    exact_job = widened(workload(table, model=model))
    (exact_part, *_) = batches(exact_job.training, 40)
    exact = gradients(exact_job, "autograd", exact_part)
    assert beyond(1.0, excesses(found["manual"], found["autograd"], exact)) == {}


def test_training_samples_are_interactions_beside_items_that_are_none(table: str) -> None:
    job, known = workload(table), read_ratings(table)
    (users, items), right = job.training.batch(np.arange(len(job.training)), order.draws(72, 3, seed=0, epoch=1))
    seen = set(zip(users.tolist(), items[:, 0].tolist(), strict=True))
    assert len(seen) == len(job.training) == len(known.users) - 2 * len(known.user_ids)
    assert all(
        (user, item) not in seen
        for user, row in zip(users.tolist(), items[:, 1:].tolist(), strict=True)
        for item in row
    )
    assert right.tolist() == [[1.0, 0.0, 0.0, 0.0]] * 72
    (_, again), _ = job.training.batch(np.arange(72), order.draws(72, 3, seed=0, epoch=2))
    assert torch.equal(again[:, 0], items[:, 0])
    assert not torch.equal(again, items)


def test_an_evaluation_ranks_each_user_s_latest_item_among_unseen_ones(table: str) -> None:
    known = read_ratings(table)
    splits, other = workload(table).splits, workload(table, seed=1).splits
    everything = [set(known.items[known.users == user]) for user in range(12)]
    for name, nth in (("test", -1), ("valid", -2)):
        (users, items), _ = splits[name].batch(np.arange(12), np.empty((12, 0)))
        assert users.tolist() == list(range(12))
        assert items[:, 0].tolist() == [known.items[known.users == user][nth] for user in range(12)]
        for user, row in enumerate(items[:, 1:].tolist()):
            assert len(set(row)) == 20
            assert not everything[user] & set(row)
        assert torch.equal(items, other[name].batch(np.arange(12), np.empty((12, 0)))[0][1])
    assert list(workload(table, held_out=1).splits) == ["test"]
    assert len(workload(table, held_out=1).training) == 84


def test_places_count_ties_and_no_numbers_against_the_model() -> None:
    nan = math.nan
    scores = torch.tensor([
        [3.0, 1.0, 2.0, 0.0], [1.0, 1.0, 0.0, 2.0], [0.0, 0.0, 0.0, 0.0], [nan, 1.0, 2.0, 3.0], [5.0, nan, 1.0, 2.0]
    ])  # fmt: skip
    assert places(scores).tolist() == [1, 3, 4, 4, 2]


def test_hits_and_gains_are_those_worked_by_hand() -> None:
    """The right item in places 1, 3, 10 and 11."""
    scores = torch.zeros(4, 12)
    scores[:, 0] = 1.0
    for row, better in enumerate([0, 2, 9, 10]):
        scores[row, 1 : 1 + better] = 2.0
    found = hits_and_gains(scores, torch.empty(0))
    assert found["hr@10"].item() == 3
    assert found["ndcg@10"].item() == pytest.approx(1 + 1 / 2 + 1 / math.log2(11))


def test_the_loss_is_a_mean_over_candidates_summed_over_samples() -> None:
    output, target = torch.randn(7, 5), torch.eye(5)[torch.zeros(7, dtype=torch.int64)]
    total, count = cross_entropy(output, target)
    torch.testing.assert_close(total / count, F.binary_cross_entropy_with_logits(output, target))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"layers": [7, 3]}, "workload.layers=.7, 3.: an even first width"),
        ({"others": 33}, "user 'u0' has not seen 31 items; others=33 are needed"),
    ],
)
def test_a_wrong_request_is_refused(table: str, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(RequestError, match=message):
        workload(table, **changes)
