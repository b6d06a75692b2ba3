"""What a process that ends at once would leave behind."""

from contextlib import suppress
from pathlib import Path

SEGMENTS = "/dev/shm/sm_segment."
"""Where Open MPI has the memory through which ranks of a node talk. It removes these files when it ends in order."""


def clear() -> None:
    """Remove the files of the shared memory that MPI has made for this job (Linux). Who has it keeps it."""
    with suppress(OSError):
        lines = Path("/proc/self/maps").read_text().splitlines()
        for path in {line.split(maxsplit=5)[5] for line in lines if SEGMENTS in line}:
            Path(path).unlink(missing_ok=True)
