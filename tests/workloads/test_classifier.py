"""The classifier of texts: its twins in plain torch, which know no padding, its sums, its splits, its refusals."""

import math
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, roc_auc_score
from torch import Tensor, nn
from torch.nn import functional as F

from distbp import config
from distbp.comm.local import LocalCommunicator
from distbp.errors import RequestError
from distbp.training.evaluation import evaluate
from distbp.workloads.base import Workload
from distbp.workloads.classifier import classifier
from tests.engines.agreement import beyond, excesses
from tests.workloads.reading_twins import TWINS
from tests.workloads.small.nlp import labelled
from tests.workloads.test_every_workload import train
from tests.workloads.test_gradients_stay_right import VANISHING
from tests.workloads.wide import ENGINES, batches, gradients, trained, widened

RECIPE: dict[str, Any] = {
    "model": "recurrent", "least": 1, "longest": 8, "width": 6, "hidden": 3, "layers": 2, "heads": 2, "dropout": 0.25,
    "held_out": False, "cache": "/nonexistent", "seed": 0,
}  # fmt: skip
MODELS = ["recurrent", "encoder"]


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(labelled(tmp_path_factory.mktemp("texts")))


def workload(path: str, **changes: Any) -> Workload:
    return classifier(**{**RECIPE, "path": path, **changes})


def all_of(job: Workload, split: str) -> tuple[tuple[Tensor, ...], Tensor]:
    data = job.splits[split]
    return data.batch(np.arange(len(data)), np.empty((len(data), 0)))


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("model", MODELS)
def test_fifty_steps_are_those_of_a_twin_in_plain_torch(path: str, tmp_path: Path, model: str, engine: str) -> None:
    job = widened(workload(path, model=model))
    twin = TWINS[model](job.module, dropout=RECIPE["dropout"])
    optimizer = torch.optim.SGD(twin.w.values(), lr=0.3, momentum=0.9)
    for part in batches(job.training, 12):
        torch.manual_seed(part.draws)
        optimizer.zero_grad()
        F.cross_entropy(twin.scores(*part.inputs), part.target).backward()
        optimizer.step()
    ours = trained(job, engine, tmp_path, batch_size=12, optimizer="sgd", lr=0.3, momentum=0.9)
    for name, weight in twin.w.items():
        torch.testing.assert_close(ours[name], weight.detach(), rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("model", MODELS)
def test_gradients_in_float32_hold_to_the_contract(path: str, model: str) -> None:
    job = workload(path, model=model)
    (part, *_) = batches(job.training, 40)
    ours, theirs = (gradients(job, engine, part) for engine in ENGINES)
    exact = gradients(widened(job), "autograd", part)
    assert beyond(1.0, excesses(ours, theirs, exact, VANISHING)) == {}


@pytest.mark.parametrize("model", MODELS)
def test_what_stands_in_the_padding_does_not_matter(path: str, model: str) -> None:
    module = workload(path, model=model).module.double().eval()
    (units, lengths), _ = all_of(workload(path, model=model), "train")
    padded = torch.arange(8) >= lengths[:, None]
    assert padded.any()
    other = torch.where(padded, 3, units)
    torch.testing.assert_close(module(other, lengths), module(units, lengths), rtol=0, atol=1e-13)


def test_the_encoder_gives_two_workers_the_bits_of_one(pool, path: str, tmp_path: Path) -> None:
    """The recurrent net is held to this with all other workloads."""
    words = [
        "workload=nlp/classifier", "workload.model=encoder", "workload.width=8", "workload.longest=8",
        f"data.path={path}", "batch_size=22", "shards=4", "steps=3",
    ]  # fmt: skip
    one, two = (
        pool.run(kind, size, train, *words, f"run_dir={tmp_path / kind}")[0]
        for kind, size in (("local", 1), ("mpi", 2))
    )
    assert one["weights_sha256"] == two["weights_sha256"]
    assert one["metrics"] == two["metrics"]


@pytest.mark.parametrize("model", MODELS)
def test_the_initial_weights_depend_on_the_seed_alone(path: str, model: str) -> None:
    torch.manual_seed(1)
    state = torch.get_rng_state()
    first = workload(path, model=model).module.state_dict()
    assert torch.equal(torch.get_rng_state(), state)
    again, other = (workload(path, model=model, seed=seed).module.state_dict() for seed in (0, 1))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["token.weight"], other["token.weight"])


def test_the_metrics_are_those_of_scikit_learn(path: str) -> None:
    job = workload(path)
    found = evaluate(job, job.splits["train"], LocalCommunicator(), batch_size=7, step=0)
    inputs, labels = all_of(job, "train")
    with torch.no_grad():
        probabilities = job.module.eval()(*inputs).softmax(1)
    assert found["accuracy"] == accuracy_score(labels, probabilities.argmax(1))
    assert found["auc"] == pytest.approx(roc_auc_score(labels, probabilities[:, 1]), abs=1e-12)
    assert found["loss"] == pytest.approx(-probabilities[torch.arange(len(labels)), labels].log().mean().item())


def test_the_splits_are_stratified_and_the_vocabulary_is_that_of_training(path: str) -> None:
    job, held = workload(path), workload(path, held_out=True)
    assert {name: len(split) for name, split in job.splits.items()} == {"train": 48, "test": 12}
    assert {name: len(split) for name, split in held.splits.items()} == {"train": 40, "validation": 8, "test": 12}
    for name, share in (("train", 20), ("validation", 4), ("test", 6)):
        _, labels = all_of(held, name)
        assert Counter(labels.tolist()) == {0: share, 1: share}
    (units, lengths), _ = all_of(job, "train")
    own = units[torch.arange(8) < lengths[:, None]]
    assert set(own.tolist()) == set(range(1, job.module.token.num_embeddings))


def test_of_three_classes_there_is_no_area(tmp_path: Path) -> None:
    rows = "".join(f"{word} it,{word}\n" for word in ("good", "fair", "bad"))
    (tmp_path / "three.csv").write_text("text,label\n" + rows * 10)
    job = workload(str(tmp_path / "three.csv"))
    assert job.module.head.out_features == 3
    found = evaluate(job, job.splits["test"], LocalCommunicator(), batch_size=4, step=0)
    assert set(found) == {"loss", "accuracy"}
    assert found["loss"] == pytest.approx(math.log(3), abs=0.2)


def test_what_does_not_fit_is_refused_in_one_line(path: str) -> None:
    with pytest.raises(RequestError, match=r"workload\.heads=4: a divisor of workload\.width=6 is allowed"):
        workload(path, model="encoder", heads=4)
    assert isinstance(workload(path, heads=4).module, nn.Module)  # the recurrent net has none
    assert config.request("workload=nlp/classifier").workload["model"] in MODELS
