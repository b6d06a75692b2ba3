"""A command of the system by which data come: with nothing to read, and no more time than it is given."""

import subprocess
from collections.abc import Sequence
from pathlib import Path

from distbp.data.source import UnavailableError


def run(command: Sequence[str], folder: Path, seconds: float, *, line: str) -> subprocess.CompletedProcess[str]:
    """``command`` when it has ended, run in ``folder``; ``line`` is what it is called in an error.

    Raises UnavailableError where the machine has none of it, or it takes longer than ``seconds``.
    """
    try:
        return subprocess.run(
            command,
            check=False,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=seconds,
        )
    except FileNotFoundError:
        raise UnavailableError(f"{line}: this machine has no {command[0]}") from None
    except subprocess.TimeoutExpired:
        raise UnavailableError(f"{line} took longer than {seconds:.0f} s") from None
