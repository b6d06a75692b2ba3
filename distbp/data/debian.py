"""A file inside a package of Debian: downloaded and opened by apt and dpkg, without installation.

Any version will do: what must be equal is the file, and who asked for it compares.
"""

import subprocess
from collections.abc import Sequence
from pathlib import Path

TREE = "tree"  # the folder, beside the package, that it is opened into


class UnavailableError(Exception):
    """Why the file cannot be had."""


def member(package: str, name: str, most: int, *, folder: Path, seconds: float) -> bytes:
    """The file ``name`` of ``package``, up to ``most`` bytes of it; ``folder`` is empty, and left with what came."""
    run(["apt-get", "download", package], folder, seconds)
    packages = list(folder.glob("*.deb"))
    if len(packages) != 1:
        raise UnavailableError(f"apt-get download {package} left {len(packages)} packages")
    run(["dpkg-deb", "--extract", packages[0].name, TREE], folder, seconds)
    path = folder / TREE / name
    if not path.is_file():
        raise UnavailableError(f"{packages[0].name} is not the expected package: it has no {name}")
    with path.open("rb") as file:
        return file.read(most)


def run(command: Sequence[str], folder: Path, seconds: float) -> None:
    """Run ``command`` in ``folder``. Raises UnavailableError with its last word where it fails."""
    line = " ".join(command)
    try:
        done = subprocess.run(
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
    if done.returncode != 0:
        said = [text for text in done.stderr.splitlines() if text.startswith("E:")] or ["it failed"]
        raise UnavailableError(f"{line}: {said[-1].removeprefix('E:').strip()}; apt-get update may be needed first")
