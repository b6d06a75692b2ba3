"""The process that warm ones are forked from. It has imported what a job imports, and computed nothing."""

import contextlib
import importlib
import json
import os
import runpy
import selectors
import shutil
import signal
import socket
import sys
from pathlib import Path
from typing import Any

from distbp.comm.kin import die_with_parent

STREAMS = 3
LIBRARIES = (
    "torch._dynamo", "torch.export._trace", "torch.distributed.launcher.api", "torch.utils.tensorboard",
    "distbp.cli", "distbp.worker", "distbp.job", "rich.progress",
)  # fmt: skip


class Server:
    """A client says what to run, and then the signals that it gets; it hears how the program ended."""

    def __init__(self, listener: socket.socket, life: int) -> None:
        self.listener, self.life = listener, life
        self.pids: dict[socket.socket, int] = {}
        self.clients: dict[int, socket.socket] = {}  # by the descriptor of the program's process
        self.selector = selectors.DefaultSelector()
        for source in (listener, life):
            self.selector.register(source, selectors.EVENT_READ)

    def serve(self) -> list[str]:
        """In each fork the words to run. Here, once nobody is left who asks, none."""
        while True:
            for key, _ in self.selector.select():
                source: Any = key.fileobj
                if source == self.life:
                    return []
                if source is self.listener:
                    if words := self._start(self.listener.accept()[0]):
                        return words
                elif source in self.clients:
                    self._end(source)
                else:
                    self._pass_on(source)

    def _start(self, client: socket.socket) -> list[str]:
        line, streams, *_ = socket.recv_fds(client, 2**16, STREAMS)
        while not line.endswith(b"\n"):
            line += client.recv(2**16)
        pid = os.fork()
        if not pid:
            self._forget(client)
            return become(json.loads(line), streams)
        for stream in streams:
            os.close(stream)
        ended = os.pidfd_open(pid)
        self.pids[client], self.clients[ended] = pid, client
        for source in (client, ended):
            self.selector.register(source, selectors.EVENT_READ)
        return []

    def _forget(self, client: socket.socket) -> None:
        """In a fork: what others wait for must not stay open here."""
        self.selector.close()
        for source in (self.listener, client, *self.pids):
            source.close()
        for descriptor in (self.life, *self.clients):
            os.close(descriptor)

    def _pass_on(self, client: socket.socket) -> None:
        """A client's signals, to its program; its own end by one that cannot be passed on is the program's, too."""
        with contextlib.suppress(ConnectionResetError):
            if numbers := client.recv(64):
                for number in numbers:
                    os.kill(self.pids[client], number)  # nobody has waited for it: it is this one
                return
        self.selector.unregister(client)
        os.kill(self.pids[client], signal.SIGKILL)

    def _end(self, ended: int) -> None:
        client = self.clients.pop(ended)
        code = os.waitstatus_to_exitcode(os.waitpid(self.pids.pop(client), 0)[1])
        self.selector.unregister(ended)
        os.close(ended)
        with contextlib.suppress(KeyError, OSError):  # it may be gone
            self.selector.unregister(client)
            client.sendall(b"%d\n" % code)
        client.close()


def become(order: dict[str, Any], streams: list[int]) -> list[str]:
    """Take a client's place. What is left to do are the words of its command."""
    die_with_parent()
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    sys.stdin, sys.stdout = open(0), open(1, "w")  # noqa: SIM115 - they stay
    sys.stdout.reconfigure(write_through=order["unbuffered"])
    sys.stderr = open(2, "w", buffering=1, errors="backslashreplace")  # noqa: SIM115
    sys.__stdin__, sys.__stdout__, sys.__stderr__ = sys.stdin, sys.stdout, sys.stderr
    os.environ.clear()
    os.environ.update(order["environment"])
    os.sched_setaffinity(0, order["cores"])
    os.chdir(order["folder"])
    words: list[str] = order["words"]
    return words


def run(words: list[str], libraries: list[str]) -> None:
    """A module (-m) or a file, as python runs it."""
    module, sys.argv[:] = words[0] == "-m", words[words[0] == "-m" :]
    first = str(Path.cwd()) if module else str(Path(words[0]).resolve().parent)
    given = [entry for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry]
    sys.path[:] = [first, *given, *libraries]
    if module:
        runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
    else:
        runpy.run_path(sys.argv[0], run_name="__main__")


def main(listening: int, life: int) -> None:
    """Serve on the socket, as long as the other end of ``life`` is open; run in each fork what its client wants."""
    libraries = sys.path[1:]
    with socket.socket(fileno=listening) as listener:
        path = Path(listener.getsockname())
        for name in LIBRARIES:
            importlib.import_module(name)
        sys.executable = str(path.with_name("python"))  # what a program starts with it is warm, too
        words = Server(listener, life).serve()
    if words:
        run(words, libraries)
    else:
        shutil.rmtree(path.parent)
