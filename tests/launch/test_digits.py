"""The default workload reaches its mark, whatever the seed, on two workers."""

import pytest
import torch
from rich.console import Console

from distbp import config, job


def train(comm, *request):
    torch.set_num_threads(1)
    return job.train(config.request(*request), comm, Console(quiet=True)).get("metrics")


SEEDS = [0, 1, *(pytest.param(seed, marks=pytest.mark.long) for seed in (2, 3, 4))]


@pytest.mark.parametrize("seed", SEEDS)
def test_every_seed_reads_the_digits(pool, tmp_path, seed):
    metrics, _ = pool.run("mpi", 2, train, f"seed={seed}", "evaluate.every=never", f"run_dir={tmp_path / 'run'}")
    assert metrics["accuracy"] >= 0.96
