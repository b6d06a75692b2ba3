"""A process of our own searches seldom for garbage, and not at its end; what was to be done at the end is done."""

import subprocess
import sys

ENDS = """
import atexit, gc
atexit.register(lambda: print(gc.get_threshold()[0], gc.get_freeze_count() > 0))
from distbp.garbage import search_seldom
search_seldom()
print(gc.get_freeze_count())
raise SystemExit(3)
"""


def test_what_is_left_at_the_end_is_not_searched() -> None:
    done = subprocess.run([sys.executable, "-c", ENDS], capture_output=True, text=True, timeout=100, check=False)
    assert (done.returncode, done.stdout.splitlines()) == (3, ["0", "10000 True"])
