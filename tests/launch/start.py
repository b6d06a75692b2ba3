"""Fresh launches, as a user makes them, and what is left of them."""

import os
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
DISTBP = [sys.executable, "-m", "distbp"]
MARK = "DISTBP_TEST_MARK"
ROOT_MAY = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}


def under(launcher, size, python=sys.executable):
    """The words that start ``size`` processes of a script, or of ``-m`` and a module: alone, mpirun, or torchrun."""
    starts = {
        "alone": [python],
        "mpirun": [str(BIN / "mpirun"), "-n", str(size), "--oversubscribe", python],
        "torchrun": [python, str(BIN / "torchrun"), "--standalone", "--nproc-per-node", str(size)],
    }
    return starts[launcher]


def command(launcher, size, *arguments, python=sys.executable):
    """The command line that starts ``size`` workers: alone, with ``workers``, mpirun, or torchrun."""
    if launcher == "workers":
        return [python, "-m", "distbp", "train", f"workers={size}", *arguments]
    return [*under(launcher, size, python), "-m", "distbp", "train", *arguments]


def crowd():
    """How many times longer everything takes here just now: processes that want to run, for each core."""
    return max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))


class Run:
    """A started command, all of whose processes carry a mark by which they are found again."""

    def __init__(self, line, **environment):
        self.mark = uuid.uuid4().hex
        variables = {**os.environ, **ROOT_MAY, **environment, MARK: self.mark}
        self.process = subprocess.Popen(
            line, cwd=ROOT, env=variables, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )

    def wait(self, timeout=100.0):
        """The exit code; the whole of what it printed is then in ``stdout`` and ``stderr``."""
        try:
            self.stdout, self.stderr = self.process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            self.end()
            raise
        return self.process.returncode

    def processes(self):
        """The processes of this run that are left, zombies not counted: {pid: command line}."""
        found = {}
        for folder in Path("/proc").iterdir():
            try:
                if folder.name.isdigit() and f"{MARK}={self.mark}".encode() in (folder / "environ").read_bytes():
                    found[int(folder.name)] = (folder / "cmdline").read_text().replace("\0", " ")
            except OSError:
                continue
        return found

    def seconds_until_gone(self, limit):
        """How long it takes until no process is left, at most ``limit`` seconds."""
        begin = time.monotonic()
        while self.processes() and time.monotonic() - begin < limit:
            time.sleep(0.05)
        return time.monotonic() - begin

    def end(self):
        """Kill whatever is left."""
        for pid in self.processes():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        self.process.communicate()
