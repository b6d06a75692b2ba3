"""A worker that does something else than the others is named, with the step, before the result could be wrong.

In most of these faults the libraries would sum what does not belong together, or wait for ever.
"""

import os
import re
import subprocess
import sys
import time

import pytest

from tests.launch.start import Run, command
from tests.launch.test_it_ends import messages, until_step
from tests.warm import python

CLEAN = 200  # runs
TIMEOUT = 2.0  # s, comm.timeout where it has to pass; elsewhere a busy machine has longer for its first step
PATIENT = 30.0
START = 100.0  # s, for the processes to start on a busy machine
STEP = 5
OTHER = rf"failed at step {STEP} in phase reduce: it entered .* where rank \d entered"
LATE = rf"failed at step {STEP} in phase data: it did not arrive within comm.timeout=2 s"
ROWS = r"(tally|all_reduce\(sum\))"  # how the losses become everybody's, in shared memory and by messages
FAULTS = {  # what is said after "rank R "
    "skip_sum": OTHER,
    "skip_collective": OTHER,
    "other_order": OTHER + ".*bucket 0",
    "other_shape": OTHER + rf" {ROWS} of \d+ float64",
    "other_dtype": r"failed at step 5 in phase reduce: it entered all_reduce\(sum\) of (\d+) float32 .* of \1 float64",
    "flip": rf"failed at step {STEP} in phase guard: its 4.weight",
    "not_a_number": rf"failed at step {STEP} in phase compute: its gradient of 4.weight is not finite",
    "late": LATE.replace("data", "reduce"),
    "sleep": LATE,
    "stop": LATE,
}
BEFORE = {
    "freeze": r"module=4.weight \(10, 32\) torch.float32 frozen on rank {rank}: 4.weight \(10, 32\) torch.float32 is",
    "other_data": r"rank {rank} failed at step 0 in phase start: its training data.sha256 is \w+, that of rank 0 is ",
}
SOME = [
    ("mpirun", 3, "skip_sum", 1),
    ("torchrun", 2, "other_order", 0),
    ("mpirun", 2, "other_shape", 0),
    ("mpirun", 3, "other_dtype", 2),
    ("mpirun", 2, "freeze", 1),
    ("mpirun", 3, "flip", 1),
    ("mpirun", 2, "not_a_number", 1),
    ("mpirun", 2, "stop", 1),
    ("mpirun", 3, "late", 1),
    ("mpirun", 3, "skip_collective", 2),
]
ALL = [
    (launcher, size, fault, rank)
    for launcher in ("mpirun", "torchrun")
    for size in (2, 3)
    for fault in (*FAULTS, *BEFORE)
    for rank in range(size)
    if fault not in BEFORE or rank > 0
]


def settings(folder, *overrides):
    return [
        "workload=faulty", f"run_dir={folder}", "threads=1", "log.every=1", "guards.every=1", "evaluate.every=never",
        "reduction.bucket_bytes=1024", "engine=autograd", *overrides, "--config-dir", "tests/faults/conf",
    ]  # fmt: skip


def named(folder, launcher, size, fault, rank, *, python=sys.executable):
    """Start, wait until the fault has happened, and require one line that names it, and no process left.

    The seconds that it took.
    """
    timeout = TIMEOUT if fault in ("late", "sleep", "stop") else PATIENT
    faulty = [f"workload.fault={fault}", f"workload.rank={rank}", f"workload.step={STEP}"]
    words = settings(folder, *faulty, f"comm.timeout={timeout:g}")
    run = Run(command(launcher, size, *words, python=python))
    try:
        if fault in FAULTS:
            until_step(run, folder, STEP, timeout=START)
        begun = time.monotonic()
        code = run.wait(START)
        took = time.monotonic() - begun
        left = run.processes()
    finally:
        run.end()
    assert not left
    assert code != 0
    expected = BEFORE[fault].format(rank=rank) if fault in BEFORE else f"rank {rank} {FAULTS[fault]}"
    (message,) = messages(run.stderr)
    if fault == "flip" and size == 2:  # nothing tells which of the two it was
        expected = f"rank 1 {FAULTS['flip']} is not that of rank 0"
    assert re.search(expected, message), message
    return took


@pytest.mark.parametrize(("launcher", "size", "fault", "rank"), SOME)
def test_a_worker_that_differs_is_named(tmp_path, launcher, size, fault, rank):
    named(tmp_path / "run", launcher, size, fault, rank, python=python())


@pytest.mark.long
@pytest.mark.parametrize(("launcher", "size", "fault", "rank"), ALL)
def test_every_fault_on_every_rank(tmp_path, launcher, size, fault, rank):
    took = named(tmp_path / "run", launcher, size, fault, rank)
    print(f"{launcher} x {size}, {fault} on rank {rank}: {took:.1f} s")
    assert fault in BEFORE or took < TIMEOUT + 1


@pytest.mark.long
@pytest.mark.timeout(7200)
def test_a_slow_machine_gives_no_false_alarm(tmp_path):
    """Workers that get half as much of the processor as each of the busy loops beside them, one on every core."""
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(os.cpu_count() or 1)]
    try:
        for number in range(CLEAN):
            launcher, size = (("mpirun", 2), ("mpirun", 3), ("torchrun", 2))[number % 3]
            words = settings(tmp_path / str(number), "steps=40", "comm.timeout=60", "checkpoint.every=10")
            run = Run(["nice", "-n", "3", *command(launcher, size, *words)])
            assert run.wait(300) == 0, run.stderr
            assert not messages(run.stderr)
            run.end()
    finally:
        for process in busy:
            process.kill()
            process.wait()
