"""A job that is told to stop saves after the step that is under way, says where, and goes on later."""

import json
import os
import signal
import time

import pytest

from tests.launch.start import crowd
from tests.launch.test_it_ends import started, until_step

SOON = 10.0  # s, on a machine that is not busy with something else
HOW = ("steps=40", "shards=2", "evaluate.every=never")


def mpirun_passes_on(run):
    run.process.send_signal(signal.SIGUSR1)


def terminated(run):
    run.process.send_signal(signal.SIGTERM)


def all_at_once(run):
    """As a batch system or a supervisor of services does it: every process of the job gets the signal."""
    for pid in run.processes():
        os.kill(pid, signal.SIGTERM)


WAYS = {
    "alone": ("alone", terminated),
    "workers": pytest.param("workers", terminated, marks=pytest.mark.long),
    "workers, all at once": ("workers", all_at_once),
    "torchrun": ("torchrun", terminated),
    "mpirun": ("mpirun", terminated),
    "mpirun, SIGUSR1": pytest.param("mpirun", mpirun_passes_on, marks=pytest.mark.long),
}
OUR_CODE = ("alone", "workers")  # mpirun and torchrun have exit codes of their own


def ended(run, told):
    """The exit code, the seconds that it took since ``told``, and the processes that are left."""
    code = run.wait()
    took = time.monotonic() - told
    left = run.processes()
    run.end()
    return code, took, left


def said(run):
    return [line for line in run.stderr.splitlines() if line.startswith("distbp: ")]


@pytest.mark.parametrize(("launcher", "tell"), WAYS.values(), ids=WAYS)
def test_a_job_that_is_told_to_stop_saves_first(tmp_path, launcher, tell):
    folder = tmp_path / "run"
    run = started(folder, launcher, *HOW)
    until_step(run, folder, 3)
    told = time.monotonic()
    tell(run)
    code, took, left = ended(run, told)
    (checkpoint,) = sorted((folder / "checkpoints").iterdir())
    step = json.loads((checkpoint / "checkpoint.json").read_text())["step"]
    logged = [json.loads(line)["step"] for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert not left
    assert took < SOON * crowd()
    assert code == 143 if launcher in OUR_CODE else code != 0
    assert logged == list(range(1, step + 1))
    (line,) = said(run)
    assert line.startswith(f"distbp: stopped after step {step}; saved in {folder}; ")
    assert f"run_dir={folder} resume=latest" in line


def test_peers_that_do_not_answer_are_not_waited_for(tmp_path):
    folder = tmp_path / "run"
    run = started(folder, "workers", *HOW, "workload.fault=stop", "workload.rank=1", "workload.step=5")
    until_step(run, folder, 5)
    time.sleep(0.3)
    told = time.monotonic()
    terminated(run)
    code, took, left = ended(run, told)
    assert not left
    assert (code, took < SOON / 2 * crowd()) == (143, True)
    assert said(run) == ["distbp: stopped at step 5, not saved: rank 1 did not answer within 2 s"]
    assert not (folder / "checkpoints").exists()


def test_a_second_signal_ends_all_at_once(tmp_path):
    folder = tmp_path / "run"
    run = started(folder, "workers", *HOW, "workload.fault=sleep", "workload.rank=1", "workload.step=5")
    until_step(run, folder, 5)
    terminated(run)
    time.sleep(1.0)
    again = time.monotonic()
    terminated(run)
    code, took, left = ended(run, again)
    assert not left
    assert (code, took < SOON / 2 * crowd()) == (143, True)
    assert not said(run)
