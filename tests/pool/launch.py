"""One real launch of ranks that wait for functions to run, seen from pytest.

Each rank connects to a unix socket and says its number and process id. A call goes out to all of them as a line of
JSON, and each answers with a line. A rank whose socket closes ends itself, so no rank outlives pytest, however pytest
ends.
"""

import contextlib
import json
import os
import queue
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tests.warm import python

START = 90.0  # s, for a launcher, its interpreters and their imports of torch on a busy machine
PATIENCE = 1.0  # s that the other ranks have to answer after the first has failed
GRACE = 5.0  # s that ranks have to leave, and the launcher after them
TAIL = 4000  # characters of the ranks' output that a failure shows
BIN = Path(sys.executable).parent
COMMANDS = {
    "mpi": [str(BIN / "mpirun"), "--oversubscribe", "--bind-to", "none", "-n", "{size}", "{python}"],
    "torch": ["{python}", str(BIN / "torchrun"), "--standalone", "--nproc-per-node", "{size}"],
}
SETTINGS = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1", "OMP_NUM_THREADS": "1"}


class RankError(AssertionError):
    """A rank raised, ended, or did not answer."""


class Launch:
    """``size`` ranks under mpirun (``kind`` "mpi") or torchrun ("torch")."""

    def __init__(self, kind: str, size: int) -> None:
        self.name = f"{kind} x {size}"
        self.size = size
        self._folder = Path(tempfile.mkdtemp(prefix="distbp-pool-"))
        self._ranks: dict[int, socket.socket] = {}
        self._pids: dict[int, int] = {}
        self._answers: queue.Queue[tuple[int, dict[str, Any]]] = queue.Queue()
        with socket.socket(socket.AF_UNIX) as listener, (self._folder / "log").open("wb") as log:
            listener.bind(str(self._folder / "socket"))
            listener.listen(size)
            words = [word.format(size=size, python=python()) for word in COMMANDS[kind]]
            self._launcher = subprocess.Popen(
                [*words, str(Path(__file__).with_name("rank.py")), kind, str(self._folder / "socket")],
                env=os.environ | SETTINGS | {"PYTHONPATH": os.pathsep.join(sys.path), "TMPDIR": str(self._folder)},
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
            self._accept(listener)

    def run(self, function: Callable[..., Any], args: Sequence[Any], timeout: float) -> list[Any]:
        """Call the function on every rank and return the results, or raise one RankError for all of them."""
        call = {"module": function.__module__, "function": function.__qualname__, "args": list(args)}
        for rank in self._ranks.values():
            rank.sendall(json.dumps(call).encode() + b"\n")
        answers = self._collect(timeout)
        if len(answers) < self.size or any("failure" in answer for answer in answers.values()):
            raise RankError(self._report(function.__qualname__, answers, timeout))
        return [answers[rank]["result"] for rank in range(self.size)]

    def release(self) -> None:
        """Let the ranks go; ``end`` follows."""
        for rank in self._ranks.values():
            rank.shutdown(socket.SHUT_RDWR)
            rank.close()

    def end(self, patience: float = 0.0) -> None:
        """Kill the ranks that have not gone after ``patience`` seconds, and then the launcher if it stays.

        A launcher that ends by itself removes what killed ranks leave in /tmp and /dev/shm.
        """
        if not self._ended(patience):
            for pid in self._pids.values():
                _signal(pid, signal.SIGKILL)
        if not self._ended(GRACE):
            self._launcher.kill()
            self._launcher.wait()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _ended(self, seconds: float) -> bool:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._launcher.wait(seconds)
        return self._launcher.returncode is not None

    def _accept(self, listener: socket.socket) -> None:
        deadline = time.monotonic() + START
        listener.settimeout(0.5)
        while len(self._ranks) < self.size:
            try:
                connection, _ = listener.accept()
            except TimeoutError:
                if self._launcher.poll() is not None or time.monotonic() > deadline:
                    message = f"{self.name}: {len(self._ranks)} ranks have come in {START:g} s\n{self._log()}"
                    self.end()
                    raise RankError(message) from None
                continue
            self._welcome(connection)

    def _welcome(self, connection: socket.socket) -> None:
        connection.settimeout(None)
        lines = connection.makefile("r")
        hello = json.loads(lines.readline())
        self._ranks[hello["rank"]], self._pids[hello["rank"]] = connection, hello["pid"]

        def listen() -> None:
            for line in lines:
                self._answers.put((hello["rank"], json.loads(line)))
            self._answers.put((hello["rank"], {"failure": "the process has ended"}))

        threading.Thread(target=listen, daemon=True).start()

    def _collect(self, timeout: float) -> dict[int, dict[str, Any]]:
        """The answers that come in time; after a failure, in a little time."""
        answers: dict[int, dict[str, Any]] = {}
        deadline = time.monotonic() + timeout
        while len(answers) < self.size:
            try:
                rank, answer = self._answers.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                break
            answers[rank] = answer
            if "failure" in answer:
                deadline = min(deadline, time.monotonic() + PATIENCE)
        return answers

    def _report(self, function: str, answers: dict[int, dict[str, Any]], timeout: float) -> str:
        silent = sorted(set(range(self.size)) - answers.keys())
        for rank in silent:
            _signal(self._pids[rank], signal.SIGUSR1)  # it writes where it stands
        time.sleep(0.5 if silent else 0.0)
        failed = [
            f"rank {rank}: {answer['failure']}" for rank, answer in sorted(answers.items()) if "failure" in answer
        ]
        waited = [f"ranks {silent} did not answer (time-out {timeout:g} s)"] if silent else []
        return "\n".join([f"{self.name}: {function}", *failed, *waited, self._log()])

    def _log(self) -> str:
        return (self._folder / "log").read_text(errors="replace")[-TAIL:]


def _signal(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):  # it may have ended already
        os.kill(pid, number)
