"""What a workload says while its data are fetched."""

import sys


def announce(line: str) -> None:
    """Say on the error stream what takes time, so that the output of a verb stays its own."""
    print(line, file=sys.stderr, flush=True)
