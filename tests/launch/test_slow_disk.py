"""A disk that takes longer than a collective may costs time, and nothing else."""

import json

from distbp.training.checkpoint import load
from distbp.training.shelf import saved
from tests.launch.start import Run, command
from tests.launch.test_disagreement import messages, settings
from tests.warm import python

TIMEOUT = 2.0  # s


def test_the_others_wait_for_a_checkpoint_however_long_it_takes(tmp_path):
    folder = tmp_path / "run"
    slow = ("workload.fault=slow_disk", "workload.rank=0", "workload.step=1", "steps=6", "checkpoint.every=3")
    run = Run(command("mpirun", 2, *settings(folder, *slow, f"comm.timeout={TIMEOUT:g}"), python=python()))
    code = run.wait(100)
    run.end()
    assert code == 0, run.stderr
    assert not messages(run.stderr)
    assert [load(path).step for path in saved(folder / "checkpoints")] == [3, 6]
    took = json.loads((folder / "result.json").read_text())["checkpoints"]["write_ms"]
    assert took > 1000 * TIMEOUT
