"""The default workload reaches its mark, whatever the seed, on two workers."""

import pytest

from tests.launch.bits import train

SEEDS = [0, *(pytest.param(seed, marks=pytest.mark.long) for seed in (1, 2, 3, 4))]


@pytest.mark.parametrize("seed", SEEDS)
def test_every_seed_reads_the_digits(pool, tmp_path, seed):
    result, _ = pool.run("mpi", 2, train, f"seed={seed}", "evaluate.every=never", f"run_dir={tmp_path / 'run'}")
    assert result["metrics"]["accuracy"] >= 0.96
