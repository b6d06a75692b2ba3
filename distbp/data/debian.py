"""A package of Debian: downloaded and opened by apt and dpkg, without installation.

Any version will do: what must be equal is the file in it, and who asked for it compares.
"""

from collections.abc import Sequence
from pathlib import Path

from distbp.data.command import run
from distbp.data.source import Source, UnavailableError

TREE = "tree"  # the folder, beside the package, that it is opened into


def download(source: Source, folder: Path, seconds: float) -> Path:
    """The tree of files of a source's package, in ``folder``, which was empty. Raises UnavailableError."""
    succeed(["apt-get", "download", source.package], folder, seconds)
    packages = list(folder.glob("*.deb"))
    if len(packages) != 1:
        raise UnavailableError(f"apt-get download {source.package} left {len(packages)} packages")
    succeed(["dpkg-deb", "--extract", packages[0].name, TREE], folder, seconds)
    return folder / TREE


def read(tree: Path, member: str, most: int) -> bytes:
    """Up to ``most`` bytes of a file in a package's tree. Raises UnavailableError."""
    path = tree / member
    if not path.is_file():
        raise UnavailableError(f"this is not the expected package: it has no {member}")
    with path.open("rb") as file:
        return file.read(most)


def succeed(command: Sequence[str], folder: Path, seconds: float) -> None:
    """Run ``command`` in ``folder``. Raises UnavailableError with its last word where it fails."""
    line = " ".join(command)
    done = run(command, folder, seconds, line=line)
    if done.returncode != 0:
        said = [text for text in done.stderr.splitlines() if text.startswith("E:")] or ["it failed"]
        raise UnavailableError(f"{line}: {said[-1].removeprefix('E:').strip()}; apt-get update may be needed first")
