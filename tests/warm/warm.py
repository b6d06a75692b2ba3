"""A command like python, and the process that its programs are forked from."""

import os
import shlex
import socket
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

HERE = Path(__file__).parent
MPIRUN = Path(sys.executable).with_name("mpirun")


@cache
def python() -> str:
    """In the place of ``sys.executable``. What is behind it starts with the first call, and ends with this process."""
    folder = Path(tempfile.mkdtemp(prefix="distbp-warm-"))
    path, command = folder / "socket", folder / "python"
    words = [sys.executable, "-IS", str(HERE / "client.py"), str(path)]
    command.write_text(f'#!/bin/sh\nexec {shlex.join(words)} "$@"\n')
    command.chmod(0o755)
    (folder / MPIRUN.name).symlink_to(MPIRUN)  # beside python, where distbp looks for it
    hears, _ends = os.pipe()  # its other end closes with this process
    with socket.socket(socket.AF_UNIX) as listener:  # from now on clients may come: they wait
        listener.bind(str(path))
        listener.listen(64)
        begin = f"from tests.warm import server; server.main({listener.fileno()}, {hears})"
        subprocess.Popen(
            [sys.executable, "-c", begin],
            cwd=HERE.parents[1], env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
            stdin=subprocess.DEVNULL, pass_fds=[listener.fileno(), hears],
        )  # fmt: skip
    os.close(hears)
    return str(command)
