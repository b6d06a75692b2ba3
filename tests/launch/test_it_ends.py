"""Whatever happens to one worker or to the launcher, all workers end soon, and the message says where and why."""

import os
import re
import signal
import time
from itertools import product
from pathlib import Path

import pytest

from tests.data import picture_folders
from tests.launch.start import Run, command, crowd

LAUNCHERS = ("workers", "mpirun", "torchrun")
SOON = 5.0  # s, on a machine that is not busy with something else
FAULTS = {
    "raise": r"ValueError: boom",
    "exit": r"sys\.exit\(0\) was called before the job was done",
    "kill": r"process \d+ is gone",
}
CUT = {  # of three launchers, three faults and two ranks every pair; the rest of them are long
    (launcher, fault, (i + j) % 2) for i, launcher in enumerate(LAUNCHERS) for j, fault in enumerate(FAULTS)
}
ENDS = [pytest.param(*end, marks=[] if end in CUT else pytest.mark.long) for end in product(LAUNCHERS, FAULTS, (0, 1))]


def started(folder, launcher, *overrides):
    plain = ("workload=faulty", f"run_dir={folder}", "threads=1", "log.every=1", "engine=autograd")  # the sooner ready
    return Run([*command(launcher, 2, *plain, *overrides), "--config-dir", "tests/faults/conf"])


def messages(text):
    return re.findall(r"distbp: error: .*", text)


def steps(folder):
    path = Path(folder) / "metrics.jsonl"
    return len(path.read_text().splitlines()) if path.exists() else 0


def until_step(run, folder, step, timeout=90.0):
    begin = time.monotonic()
    ended = None
    while steps(folder) < step:
        assert time.monotonic() - begin < timeout
        assert ended is None, run.process.communicate()
        ended = run.process.poll()  # what it wrote before it ended is read once more
        time.sleep(0.02)


@pytest.mark.parametrize(("launcher", "fault", "rank"), ENDS)
def test_a_worker_that_ends_ends_all_and_is_named(tmp_path, launcher, fault, rank):
    folder = tmp_path / "run"
    run = started(folder, launcher, f"workload.fault={fault}", f"workload.rank={rank}", "workload.step=5")
    until_step(run, folder, 5)
    fell = time.monotonic()
    code = run.wait()
    took = time.monotonic() - fell
    left = run.processes()
    run.end()
    assert not left
    assert took < SOON * crowd()
    assert code == 3 if launcher == "workers" else code != 0
    (message,) = messages(run.stderr)
    assert re.search(rf"rank {rank} failed at step 5 in phase data: .*{FAULTS[fault]}", message), message
    if launcher == "workers":
        assert run.stderr.rstrip().endswith(message)


def test_a_picture_that_is_damaged_while_it_is_trained_on_is_named_in_one_line(tmp_path):
    pictures = picture_folders.write(tmp_path / "pictures")
    small = ("workload=vision/resnet", "workload.side=8", "evaluate.split=val", "engine=autograd", "threads=1")
    where = (f"run_dir={tmp_path / 'run'}", f"data.path={pictures}", f"data.cache={tmp_path / 'cache'}", "log.every=1")
    run = Run(command("workers", 2, *small, *where, "epochs=100000", "evaluate.every=never"))
    until_step(run, tmp_path / "run", 3)
    picture = pictures / "train/bee/001.jpg"
    picture.write_bytes(picture.read_bytes()[:100])
    code = run.wait()
    assert code == 3
    _checking, told = run.stderr.splitlines()
    line = rf"distbp: error: rank \d failed at step \d+ in phase data: {picture}: a picture that does not decode .*"
    assert re.fullmatch(f"{line}; it has changed since it was checked", told), told


@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_a_launcher_that_is_killed_leaves_no_worker(tmp_path, launcher):
    folder = tmp_path / "run"
    run = started(folder, launcher)
    until_step(run, folder, 3)
    program = "mpirun" if launcher == "workers" else launcher
    victims = [pid for pid, line in run.processes().items() if re.search(rf"(prterun|{program}) ", line)]
    assert victims
    os.kill(victims[0], signal.SIGKILL)
    took = run.seconds_until_gone(SOON * crowd() + 1)
    run.end()
    code = run.wait()
    assert took < SOON * crowd()
    assert code != 0
    (message,) = messages(run.stderr)
    assert re.search(r"rank \d failed at step \d+ in phase \w+: its launcher \(process \d+\) is gone", message)


def test_our_own_process_that_is_killed_leaves_no_worker(tmp_path):
    folder = tmp_path / "run"
    run = started(folder, "workers")
    until_step(run, folder, 3)
    run.process.kill()
    took = run.seconds_until_gone(SOON * crowd() + 1)
    run.end()
    assert took < SOON * crowd()


@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_a_worker_that_sleeps_is_named_after_the_time_out(tmp_path, launcher):
    folder = tmp_path / "run"
    run = started(folder, launcher, "workload.fault=sleep", "workload.rank=1", "workload.step=5", "comm.timeout=1")
    code = run.wait()
    left = run.processes()
    run.end()
    assert not left
    assert code != 0
    (message,) = messages(run.stderr)
    assert "rank 1 failed at step 5 in phase data: it did not arrive within comm.timeout=1 s" in message
    assert re.search(r'workload.py", line \d+ in batch', run.stderr), "the stack of the rank that others wait for"


def test_a_job_that_is_suspended_goes_on(tmp_path):
    """Ctrl-Z, and later fg: what a worker that waits has missed was no lateness of the other."""
    folder = tmp_path / "run"
    nap = ("workload.fault=nap", "workload.rank=1", "workload.step=5")
    run = started(folder, "mpirun", *nap, "steps=10", "evaluate.every=never", "comm.timeout=2")
    until_step(run, folder, 5)
    time.sleep(0.3)
    for number, pause in (signal.SIGSTOP, 3.0), (signal.SIGCONT, 0.0):
        for pid in run.processes():
            os.kill(pid, number)
        time.sleep(pause)
    code = run.wait()
    run.end()
    assert code == 0, run.stderr
    assert steps(folder) == 11, "ten steps and an evaluation"
