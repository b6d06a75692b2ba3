"""Biased matrix factorisation: its folds, its sums, and a twin in plain torch."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from distbp.errors import RequestError
from distbp.workloads.base import Workload
from distbp.workloads.matrix_factorization import Errors, RegularizedSquares, cut, matrix_factorization, root
from tests.engines.agreement import beyond, excesses
from tests.workloads.small.recommendation import ratings
from tests.workloads.wide import ENGINES, batches, gradients, trained, widened

RECIPE: dict[str, Any] = {
    "factors": 5,
    "regularization": 0.07,
    "deviation": 0.3,
    "fold": 2,
    "cache": "/nonexistent",
    "seed": 0,
}


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(ratings(tmp_path_factory.mktemp("ratings")))


def workload(table: str, **changes: Any) -> Workload:
    return matrix_factorization(**{**RECIPE, "path": table, **changes})


class Twin(nn.Module):
    """The same model as anybody would write it: dense tables, and squares that the loss looks up itself."""

    def __init__(self, like: Workload) -> None:
        super().__init__()
        tables = {name.removesuffix(".weight"): w for name, w in like.module.named_parameters()}
        self.tables = nn.ModuleDict(
            {name: nn.Embedding.from_pretrained(w.clone(), False) for name, w in tables.items()}
        )
        self.mean = like.training.batch(np.arange(len(like.training)), np.empty(0))[1].double().mean()

    def loss(self, users: Tensor, items: Tensor, target: Tensor) -> Tensor:
        looked_up = [
            self.tables[name](numbers)
            for name, numbers in (
                ("user_bias", users), ("item_bias", items), ("user_factors", users), ("item_factors", items)
            )
        ]  # fmt: skip
        b_u, b_i, p, q = looked_up
        error = target - self.mean - b_u[:, 0] - b_i[:, 0] - torch.einsum("nk,nk->n", p, q)
        penalty = sum(torch.linalg.norm(row, dim=1) ** 2 for row in (p, q)) + (b_u**2 + b_i**2)[:, 0]
        return (error**2 + RECIPE["regularization"] * penalty).mean()


@pytest.mark.parametrize("engine", ENGINES)
def test_fifty_steps_are_those_of_a_twin_in_plain_torch(table: str, tmp_path: Path, engine: str) -> None:
    job = widened(workload(table))
    job.module.mean.copy_(job.training.batch(np.arange(len(job.training)), np.empty(0))[1].mean())  # in float64
    with torch.no_grad():  # the biases begin at zero, where the norm has no derivative
        job.module.user_bias.weight.normal_(generator=torch.Generator().manual_seed(1))
    twin = Twin(job)
    optimizer = torch.optim.SGD(twin.parameters(), lr=0.3)
    for part in batches(job.training, 20):
        optimizer.zero_grad()
        twin.loss(*part.inputs, part.target).backward()
        optimizer.step()
    ours = trained(job, engine, tmp_path, batch_size=20, optimizer="sgd", lr=0.3, momentum=0.0)
    for name, embedding in twin.tables.items():
        torch.testing.assert_close(ours[f"{name}.weight"], embedding.weight.detach(), rtol=1e-8, atol=1e-8)


def test_gradients_in_float32_hold_to_the_contract(table: str) -> None:
    job = workload(table)
    (part, *_) = batches(job.training, 40)
    found = {engine: gradients(job, engine, part) for engine in ENGINES}
    exact_job = widened(workload(table))
    (exact_part, *_) = batches(exact_job.training, 40)
    exact = gradients(exact_job, "autograd", exact_part)
    assert beyond(1.0, excesses(found["manual"], found["autograd"], exact)) == {}


def test_each_rating_is_in_one_fold_whatever_the_seed(table: str) -> None:
    tests = np.concatenate([cut(96, fold)[1] for fold in range(5)])
    assert sorted(tests) == list(range(96))
    for fold in range(5):
        training, test = cut(96, fold)
        assert sorted([*training, *test]) == list(range(96))
        assert len(test) in (19, 20)
    one, other = workload(table), workload(table, seed=1)
    assert torch.equal(one.splits["test"].values, other.splits["test"].values)
    assert not torch.equal(one.module.user_factors.weight, other.module.user_factors.weight)


def test_the_module_is_koren_s_equation(table: str) -> None:
    module = workload(table).module
    with torch.no_grad():
        for number, parameter in enumerate(module.parameters()):
            parameter.copy_(torch.arange(parameter.numel()).view(parameter.shape) % (3 + number))
    users, items = torch.tensor([0, 2]), torch.tensor([1, 3])
    predicted, lengths = module(users, items)
    for n, (u, i) in enumerate(zip(users, items, strict=True)):
        b_u, b_i = module.user_bias.weight[u].item(), module.item_bias.weight[i].item()
        p, q = module.user_factors.weight[u], module.item_factors.weight[i]
        assert predicted[n].item() == pytest.approx(module.mean.item() + b_u + b_i + (p @ q).item())
        assert lengths[n].item() == pytest.approx(b_u**2 + b_i**2 + (p @ p).item() + (q @ q).item())


def test_the_loss_and_the_errors_are_sums_worked_by_hand() -> None:
    output = torch.tensor([3.0, 7.0, 0.0]), torch.tensor([1.0, 2.0, 3.0])
    target = torch.tensor([4.0, 4.0, 2.0])
    total, count = RegularizedSquares(0.5)(output, target)
    assert (float(total), count) == (1 + 9 + 4 + 0.5 * 6, 3)
    errors = Errors(1.0, 5.0)(output, target)  # 7 counts as 5, 0 as 1
    assert (float(errors["squares"]), float(errors["mae"])) == (1 + 1 + 1, 1 + 1 + 1)
    assert root({"loss": 2.0, "squares": 9.0, "mae": 1.0}, torch.empty(0, 0)) == {"loss": 2.0, "rmse": 3.0, "mae": 1.0}


def test_the_mean_is_that_of_the_training_ratings(table: str) -> None:
    job = workload(table)
    assert float(job.module.mean) == pytest.approx(float(job.training.values.mean()), rel=1e-6)
    assert len(job.training) + len(job.splits["test"]) == 96


def test_too_few_ratings_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "few.csv"
    path.write_text("user,item,rating\n1,2,3\n2,2,4\n")
    with pytest.raises(RequestError, match="2 ratings; 5 folds need one each"):
        workload(str(path))
