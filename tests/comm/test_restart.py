"""torchrun starts a job's workers anew when one is lost: the new ones find each other, not the dead ones' addresses."""

import os
import subprocess
import sys
from pathlib import Path


def test_a_second_attempt_hears_nothing_of_the_first(tmp_path: Path) -> None:
    torchrun = Path(sys.executable).with_name("torchrun")
    program = Path(__file__).with_name("restarted.py")
    ended = subprocess.run(
        [torchrun, "--standalone", "--nproc-per-node", "2", "--max-restarts", "1", program, tmp_path],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "TMPDIR": str(tmp_path)},
        capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    assert (tmp_path / "1.0").exists()
    assert (tmp_path / "1.1").exists()
