"""Several jobs in one go, under every launcher: one directory a job, whatever the number of workers."""

import json

import pytest

from tests.launch.start import Run, command


@pytest.mark.parametrize(("launcher", "size"), [("alone", 1), ("workers", 2), ("mpirun", 2), ("torchrun", 2)])
def test_each_job_has_one_directory(tmp_path, launcher, size):
    words = [
        "-m",
        "optimizer.lr=0.1,0.01",
        "steps=3",
        "shards=2",
        "evaluate.every=never",
        f"run_dir={tmp_path / 'sweep'}",
    ]
    run = Run(command(launcher, size, *words))
    assert run.wait() == 0, run.stderr
    results = {path.parent.name: json.loads(path.read_text()) for path in tmp_path.rglob("result.json")}
    assert results.keys() == {"0", "1"}
    assert {result["world_size"] for result in results.values()} == {size}
    assert results["0"]["weights_sha256"] != results["1"]["weights_sha256"]


def test_a_job_that_fails_ends_the_sweep(tmp_path):
    run = Run(command("mpirun", 2, "-m", "steps=3", "shards=2,1", f"run_dir={tmp_path / 'sweep'}"))
    assert run.wait() != 0
    assert [line for line in run.stderr.splitlines() if line.startswith("distbp: error:")] == [
        "distbp: error: workers=2: at most as many as shards=1 are allowed"
    ]
