"""The command's process searches seldom for garbage, and not at its end; what is registered for the end is done."""

import subprocess
import sys
from importlib.metadata import version

ENDS = """
import atexit, gc
atexit.register(lambda: print(gc.get_threshold()[0], gc.get_freeze_count() > 0))
from distbp.cli import main
main(["--version"])
print(gc.get_freeze_count())
raise SystemExit(3)
"""


def test_what_is_left_at_the_end_is_not_searched() -> None:
    done = subprocess.run([sys.executable, "-c", ENDS], capture_output=True, text=True, timeout=100, check=False)
    assert (done.returncode, done.stdout.splitlines()) == (3, [f"distbp {version('distbp')}", "0", "10000 True"])
