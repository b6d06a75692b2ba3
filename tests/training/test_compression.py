"""Training on compressed sums: nearly as good, and the same bits for any number of workers, also when resumed."""

import json
from pathlib import Path

import pytest
import torch
from rich.console import Console
from torch import nn

import distbp
from distbp import config, job
from distbp.comm import threads
from distbp.comm.base import Communicator
from distbp.comm.local import LocalCommunicator
from distbp.errors import RequestError
from distbp.reduction.compression.choice import choices

KINDS = ["bf16", "fp16", "int8", "powersgd", "topk"]


def request(folder: Path, kind: str, **others) -> list[str]:
    asked = {"shards": 4, "steps": 12, "evaluate.every": "never", "reduction.compression": kind, "run_dir": folder}
    return [f"{key}={value}" for key, value in {**asked, **others}.items()]


def train(comm: Communicator, *overrides: str) -> dict:
    torch.set_num_threads(1)
    return job.train(config.request(*overrides), comm, Console(quiet=True))


@pytest.fixture(scope="module")
def exact_loss(tmp_path_factory) -> float:
    folder = tmp_path_factory.mktemp("exact") / "run"
    return train(LocalCommunicator(), *request(folder, "none", shards=2, steps=150))["split_loss"]


@pytest.mark.parametrize("kind", KINDS)
def test_the_loss_is_nearly_that_of_exact_sums(tmp_path, exact_loss, kind):
    settings = {"reduction.rank": 4, "reduction.fraction": 0.1}
    result = train(LocalCommunicator(), *request(tmp_path / "run", kind, shards=2, steps=150, **settings))
    assert result["split_loss"] < 1.25 * exact_loss


@pytest.mark.parametrize("kind", KINDS)
def test_a_resumed_run_has_the_bits_of_an_undisturbed_one_on_another_number_of_workers(tmp_path, kind):
    undisturbed = threads.run(2, train, *request(tmp_path / "whole", kind))[0]
    threads.run(3, train, *request(tmp_path / "halves", kind, steps=5))
    resumed = threads.run(1, train, *request(tmp_path / "halves", kind, resume="latest"))[0]
    assert resumed["weights_sha256"] == undisturbed["weights_sha256"]
    assert (tmp_path / "halves" / "checkpoints" / "step-00000005" / "reduction.safetensors").exists()


def test_a_run_that_is_resumed_with_another_compression_owes_nothing(tmp_path):
    threads.run(2, train, *request(tmp_path / "run", "topk", steps=3))
    allow = {"resume": "latest", "resume_allow": "[reduction.compression]"}
    result = threads.run(2, train, *request(tmp_path / "run", "powersgd", steps=6, **allow))[0]
    assert result["compression"] == "powersgd"


@pytest.mark.parametrize(("kind", "least", "most"), [("none", 0, 0), ("int8", 1e-3, 0.1), ("topk", 0.5, 1.0)])
def test_the_error_is_recorded(tmp_path, kind, least, most):
    result = train(LocalCommunicator(), *request(tmp_path / "run", kind, **{"log.every": 1}))
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    errors = [line["compression_error"] for line in lines if "loss" in line]
    assert len(errors) == 12
    assert all(least <= error <= most for error in errors)
    assert (result["compression"], result["bits_depend_on_workers"]) == (kind, False)


def test_every_communicator_gives_the_bits_of_one_worker(pool, tmp_path):
    hashes = {
        kind: pool.run(kind, size, train, *request(tmp_path / kind, "int8"))[0]["weights_sha256"]
        for kind, size in [("local", 1), ("mpi", 2), ("torch", 2)]
    }
    assert len(set(hashes.values())) == 1, hashes


def own_loop(comm: Communicator, compression) -> list[float]:
    step = distbp.DataParallel(nn.Linear(6, 4), nn.MSELoss(), compression=compression, comm=comm)
    with torch.no_grad():
        nn.init.ones_(step.module.weight)
    for _ in range(3):
        step(torch.arange(12.0).view(2, 6) + comm.rank, torch.zeros(2, 4))
    return step.module.weight.grad.flatten().tolist()


@pytest.mark.parametrize("kind", KINDS)
def test_a_loop_of_ones_own(kind):
    first, second = threads.run(2, own_loop, choices(rank=1, fraction=0.5)[kind])
    assert first == second
    assert any(first)


@pytest.mark.parametrize(
    ("compression", "reduction", "line"),
    [
        (
            "int9",
            "ordered",
            "compression=int9: one of none, bf16, fp16, int8, powersgd, topk is allowed; nearest: int8",
        ),
        ("int8", "library", "compression=int8: only reduction=ordered has one"),
    ],
)
def test_wrong_choices_are_refused(compression, reduction, line):
    with pytest.raises(RequestError) as refused:
        distbp.DataParallel(
            nn.Linear(1, 1), nn.MSELoss(), compression=compression, reduction=reduction, comm=LocalCommunicator()
        )
    assert str(refused.value) == line
