"""Several jobs in one go, under every launcher: one directory a job, whatever the number of workers, and its bits."""

import pytest

from tests.launch.bits import ENGINES, sweep
from tests.launch.start import Run, command
from tests.warm import python


def test_each_job_of_one_worker_has_one_directory(one_worker):
    assert {engine: result["world_size"] for engine, result in one_worker.items()} == dict.fromkeys(ENGINES, 1)


@pytest.mark.parametrize("launcher", ["workers", "mpirun", "torchrun"])
def test_each_job_of_two_has_one_directory_and_the_bits_of_one_worker(tmp_path, one_worker, launcher):
    results = sweep(tmp_path / "sweep", launcher, 2)
    assert results.keys() == one_worker.keys()
    for engine, result in results.items():
        assert (result["world_size"], result["threads"]) == (2, 1)
        assert result["weights_sha256"] == one_worker[engine]["weights_sha256"]
        assert result["metrics"] == one_worker[engine]["metrics"]


def test_a_job_that_fails_ends_the_sweep(tmp_path):
    run = Run(command("mpirun", 2, "-m", "steps=3", "shards=2,1", f"run_dir={tmp_path / 'sweep'}", python=python()))
    assert run.wait() != 0
    assert [line for line in run.stderr.splitlines() if line.startswith("distbp: error:")] == [
        "distbp: error: workers=2: at most as many as shards=1 are allowed"
    ]
