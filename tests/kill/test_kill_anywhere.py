"""Killed at any moment, again and again, and started again: the bits and the log of a run that nothing disturbed."""

import json
import os
import random
import signal
import subprocess
import sys
import time

import pytest

from distbp.training.checkpoint import manifest_of
from distbp.training.shelf import saved
from tests.launch.start import ROOT

HOW = (
    "workload=tiny", "engine=autograd", "epochs=6", "batch_size=8", "shards=3", "checkpoint.every=3", "log.every=1",
    "log.layers=4", "optimizer.lr=0.05",
)  # fmt: skip
CLOCK = ("samples_per_second", "step_ms")
FATES = ("one", "all")
TRIALS, MANY = 6, 300


class Nursery:
    """The process that workers are forked from."""

    def __init__(self):
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.kill.nursery"],
            cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        self.process.stdout.readline()  # it is ready

    def start(self, folder, size):
        """The process ids of the workers of a job, which goes on where the one before was killed."""
        folder.mkdir(exist_ok=True)
        (folder / "store").unlink(missing_ok=True)
        overrides = [*HOW, f"run_dir={folder / 'run'}", "resume=latest"]
        order = {"size": size, "folder": str(folder), "overrides": overrides}
        return self._ask(json.dumps(order))

    def codes(self):
        """Their exit codes, once all have ended."""
        return self._ask("")

    def _ask(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())


@pytest.fixture(scope="module")
def nursery():
    made = Nursery()
    yield made
    made.process.stdin.close()
    made.process.wait()


@pytest.fixture(scope="module")
def undisturbed(nursery, tmp_path_factory):
    """What a run on one worker leaves, and how long it takes."""
    folder = tmp_path_factory.mktemp("undisturbed")
    begin = time.monotonic()
    nursery.start(folder, 1)
    assert nursery.codes() == [0], (folder / "stderr").read_text()
    return left(folder), time.monotonic() - begin


def left(folder):
    """What a finished run leaves: digests of weights and state, its hash, its log without the clock; nothing hidden."""
    run = folder / "run"
    checkpoints = saved(run / "checkpoints")
    manifest = manifest_of(checkpoints[-1])
    result = json.loads((run / "result.json").read_text())
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    log = [{key: value for key, value in line.items() if key not in CLOCK} for line in lines]
    hidden = [path.name for path in (run / "checkpoints").iterdir() if path.name.startswith(".")]
    return manifest["step"], manifest["sha256"], result["weights_sha256"], len(checkpoints), hidden, log


def kill(pids, draws):
    """SIGKILL for one of them, or for all."""
    for pid in pids if draws.choice(FATES) == "all" else [draws.choice(pids)]:
        os.kill(pid, signal.SIGKILL)


def trial(nursery, folder, undisturbed, seed):
    """One to three kills, each in a run on another number of workers, then a run to the end."""
    expected, duration = undisturbed
    draws = random.Random(seed)
    for _ in range(draws.randint(1, 3)):
        pids = nursery.start(folder, draws.randint(1, 3))
        time.sleep(draws.uniform(0.0, 1.1 * duration))
        kill(pids, draws)
        codes = nursery.codes()
        assert all(code in (0, 3, 1, -signal.SIGKILL) for code in codes), codes
    nursery.start(folder, draws.randint(1, 3))
    codes = nursery.codes()
    assert set(codes) == {0}, (codes, (folder / "stderr").read_text())
    assert left(folder) == expected


@pytest.mark.parametrize("seed", range(TRIALS))
def test_a_run_that_is_killed_anywhere_gives_the_same_bits(nursery, tmp_path, undisturbed, seed):
    trial(nursery, tmp_path / "trial", undisturbed, seed)


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_many_runs_that_are_killed_anywhere(nursery, tmp_path, undisturbed):
    for seed in range(TRIALS, TRIALS + MANY):
        trial(nursery, tmp_path / str(seed), undisturbed, seed)
