"""A warm process is to its starter what any other is, but for the seconds of its imports."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.pool.test_pool import runs
from tests.warm import python

TELL = """
import json, os, sys
here = {"loaded": "torch" in sys.modules, "argv": sys.argv, "folder": os.getcwd(), "path": sys.path[0]}
more = {"word": os.environ.get("WORD"), "cores": sorted(os.sched_getaffinity(0)), "read": sys.stdin.read()}
print(json.dumps(here | more))
print("also", file=sys.stderr)
"""
WAIT = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(5))
print(os.getpid(), flush=True)
time.sleep(60)
"""


def program(folder: Path, text: str) -> Path:
    (folder / "there").mkdir()
    (folder / "there/program.py").write_text(text)
    return folder / "there/program.py"


def started(folder: Path, text: str) -> tuple["subprocess.Popen[str]", int]:
    """The command, and its program's process."""
    process = subprocess.Popen([python(), program(folder, text)], stdout=subprocess.PIPE, text=True)
    assert process.stdout
    return process, int(process.stdout.readline())


@pytest.mark.parametrize("module", [False, True])
def test_it_is_what_its_command_is(tmp_path: Path, *, module: bool) -> None:
    file = program(tmp_path, TELL)
    words, folder = (["-m", "program", "a b"], file.parent) if module else ([str(file), "a b"], tmp_path)
    core = min(os.sched_getaffinity(0))
    how = {"cwd": folder, "env": {**os.environ, "WORD": "wörd"}, "input": "some\nlines", "timeout": 60}
    done, plain = (
        subprocess.run(["taskset", "-c", str(core), command, *words], capture_output=True, text=True, check=True, **how)
        for command in (python(), sys.executable)
    )
    assert done.stdout == plain.stdout.replace('"loaded": false', '"loaded": true')
    assert done.stderr == plain.stderr == "also\n"


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("pass", 0),
        ("raise SystemExit(7)", 7),
        ("1 / 0", 1),
        ("import os; os._exit(9)", 9),
        ("import os; os.kill(os.getpid(), 9)", -9),
        ("import os; os.abort()", -6),
    ],
)
def test_it_ends_its_command_as_it_ends(tmp_path: Path, text: str, code: int) -> None:
    done = subprocess.run([python(), program(tmp_path, text)], stderr=subprocess.PIPE, timeout=60, check=False)
    assert done.returncode == code
    assert (b"ZeroDivisionError" in done.stderr) == ("1 / 0" in text)


def test_what_it_starts_is_warm_too(tmp_path: Path) -> None:
    inner = tmp_path / "inner.py"
    inner.write_text("import sys; print('torch' in sys.modules)")
    outer = program(tmp_path, f"import subprocess, sys; subprocess.run([sys.executable, '-u', {str(inner)!r}])")
    assert subprocess.check_output([python(), outer], timeout=60) == b"True\n"


def test_other_words_are_for_python() -> None:
    line = "import sys; print('torch' in sys.modules)"
    assert subprocess.check_output([python(), "-c", line], timeout=60) == b"False\n"


def test_its_command_s_signals_are_its_own(tmp_path: Path) -> None:
    process, _ = started(tmp_path, WAIT)
    process.terminate()
    assert process.wait(60) == 5


@pytest.mark.parametrize("dead", ["command", "starter"])
def test_it_does_not_outlive_its_command_nor_its_starter(tmp_path: Path, dead: str) -> None:
    if dead == "command":
        process, pid = started(tmp_path, WAIT)
    else:
        file = str(program(tmp_path, WAIT))
        begin = f"from tests.warm import python; import subprocess; subprocess.run([python(), {file!r}])"
        process = subprocess.Popen([sys.executable, "-c", begin], stdout=subprocess.PIPE, text=True)
        assert process.stdout
        pid = int(process.stdout.readline())
    process.kill()
    deadline = time.monotonic() + 10.0
    while runs(pid):
        assert time.monotonic() < deadline, "it is still there"
        time.sleep(0.05)
    process.wait()
