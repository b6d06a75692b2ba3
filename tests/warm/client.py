"""The command that stands for a warm process: it hands over what it was started with, and ends as the program ends.

    client.py SOCKET [-u] -m MODULE argument ...
    client.py SOCKET [-u] FILE argument ...

With any other words it becomes python itself. It imports little, for it is to start at once.
"""

# ruff: noqa: PTH109 - pathlib is much

import json
import os
import signal
import socket
import sys

PASSED_ON = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)


def main(path: str, *words: str) -> None:
    """Have the program run, and end with its exit code or by its signal."""
    program = words[1:] if words[:1] == ("-u",) else words
    if not program or (program[0].startswith("-") and program[0] != "-m"):
        os.execv(sys.executable, [sys.executable, *words])
    server = socket.socket(socket.AF_UNIX)
    server.connect(path)
    order = {
        "words": program,
        "unbuffered": program != words,
        "environment": dict(os.environ),
        "folder": os.getcwd(),
        "cores": sorted(os.sched_getaffinity(0)),
    }
    line = json.dumps(order).encode() + b"\n"
    sent = socket.send_fds(server, [line], [0, 1, 2])
    server.sendall(line[sent:])
    for number in PASSED_ON:
        signal.signal(number, lambda number, _frame: server.send(bytes([number])))
    answer = server.makefile("r").readline()
    code = int(answer) if answer else -signal.SIGKILL  # the server is gone, and its programs with it
    if code < 0:
        if -code != signal.SIGKILL:
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(code)


main(*sys.argv[1:])
