"""A script of the user's own that ends on one worker ends on all, soon, and the message says which and why."""

import re
import textwrap
from pathlib import Path

import pytest

from tests.launch.start import Run, under
from tests.warm import python

SCRIPT = textwrap.dedent("""
    import os, pathlib, signal, sys, time
    import torch
    import distbp

    module = torch.nn.Linear(3, 1)
    step = distbp.DataParallel(module, torch.nn.MSELoss(), engine="autograd")
    for number in range(1000):
        if number == 4 and step.comm.rank == 0:
            (pathlib.Path(__file__).parent / "maps").write_text(pathlib.Path("/proc/self/maps").read_text())
        if number == 5 and step.comm.rank == 1:
            {fault}
        step(torch.ones(2, 3), torch.zeros(2, 1))
    """)
LAUNCHERS, SIZE = ("mpirun", "torchrun"), 3
FAULTS = {
    "raise ValueError('boom')": "ValueError: boom",
    "sys.exit(0)": "it ended before the job was done",
    "os.kill(os.getpid(), signal.SIGKILL)": r"process \d+ is gone",
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_all_workers_end_and_the_first_is_named(tmp_path, launcher, fault):
    script = tmp_path / "loop.py"
    script.write_text(SCRIPT.format(fault=fault))
    run = Run([*under(launcher, SIZE), str(script)])
    code = run.wait()
    left = run.processes()
    run.end()
    assert not left
    segments = set(re.findall(r"/dev/shm/sm_segment\S+", (tmp_path / "maps").read_text()))
    assert bool(segments) == (launcher == "mpirun")
    assert not [path for path in segments if Path(path).exists()]
    assert code != 0
    (message,) = re.findall(r"distbp: error: .*", run.stderr)
    assert re.search(rf"rank 1 failed at step \d+ in phase \w+: {FAULTS[fault]}", message), message


def test_a_worker_that_sleeps_is_named_after_the_time_out_of_the_loop(tmp_path):
    script = tmp_path / "loop.py"
    script.write_text(SCRIPT.format(fault="time.sleep(60)").replace('"autograd")', '"autograd", timeout=1)'))
    run = Run([*under("mpirun", SIZE, python()), str(script)])
    code = run.wait(40)
    run.end()
    assert code != 0
    (message,) = re.findall(r"distbp: error: .*", run.stderr)
    assert re.search(r"rank 1 failed at step \d+ in phase \w+: it did not arrive within comm\.timeout=1 s", message)


@pytest.mark.parametrize(
    ("launcher", "last"),
    [
        ("mpirun", "pass"),
        ("torchrun", "first.close()"),
        pytest.param("mpirun", "first.close()", marks=pytest.mark.long),
        pytest.param("torchrun", "pass", marks=pytest.mark.long),
    ],
)
def test_two_models_in_one_script_end_in_order(tmp_path, launcher, last):
    script = tmp_path / "loop.py"
    script.write_text(
        textwrap.dedent(f"""
            import torch
            import distbp

            first = distbp.DataParallel(torch.nn.Linear(3, 1), torch.nn.MSELoss(), engine="autograd")  # soon ready
            second = distbp.DataParallel(torch.nn.Linear(3, 1), torch.nn.MSELoss(), engine="autograd")
            for step in (first, second):
                step(torch.ones(2, 3), torch.zeros(2, 1))
            {last}
            """)
    )
    run = Run([*under(launcher, SIZE, python()), str(script)])
    assert run.wait() == 0, run.stderr
    assert "Traceback" not in run.stderr


@pytest.mark.parametrize("last", ["step(torch.ones(2, 3), torch.zeros(2, 1))", "pass"])
def test_a_model_that_one_worker_alone_makes_parallel_is_told(tmp_path, last):
    script = tmp_path / "loop.py"
    script.write_text(
        textwrap.dedent(f"""
            import torch
            import distbp

            module, loss = torch.nn.Linear(3, 1), torch.nn.MSELoss()
            step = distbp.DataParallel(module, loss, engine="autograd", timeout=5)
            step(torch.ones(2, 3), torch.zeros(2, 1))
            if step.comm.rank == 1:
                distbp.DataParallel(torch.nn.Linear(3, 1), loss, engine="autograd", timeout=5)
            {last}
            """)
    )
    run = Run([*under("mpirun", SIZE, python()), str(script)])
    code = run.wait(60)
    run.end()
    assert code not in (0, None)
    message, *others = re.findall(r"distbp: error: .*", run.stderr) or [run.stderr]
    assert not others
    assert re.search(r"rank [012] failed at step \d in phase \w+: it (entered join|ended before the job)", message), (
        message
    )


HEARD = textwrap.dedent("""
    import multiprocessing, os, signal, time
    import torch
    import distbp

    heard = []
    signal.signal(signal.SIGUSR1, lambda *_: heard.append("set before"))
    step = distbp.DataParallel(torch.nn.Linear(3, 1), torch.nn.MSELoss(), engine="autograd")
    step(torch.ones(2, 3), torch.zeros(2, 1))
    children = [multiprocessing.get_context("fork").Process(target=time.sleep, args=(60,)) for _ in range(4)]
    for child in children:
        child.start()
        child.terminate()
        child.join(20)
    os.kill(os.getpid(), signal.SIGUSR1)
    signal.signal(signal.SIGTERM, lambda *_: heard.append("set after"))
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(1.5)  # longer than a watch would wait
    step(torch.ones(2, 3), torch.zeros(2, 1))
    print("heard", heard, [child.exitcode for child in children], flush=True)
    """)


@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_signals_of_children_and_of_the_scripts_own_handlers_end_nothing(tmp_path, launcher):
    script = tmp_path / "loop.py"
    script.write_text(HEARD)
    run = Run([*under(launcher, 2), str(script)])
    code = run.wait(100)
    run.end()
    assert code == 0, run.stderr
    assert run.stdout.count("heard ['set before', 'set after'] [-15, -15, -15, -15]") == 2
    assert "distbp: " not in run.stderr
