"""A program that does not run: which of its layers it is that fails."""

import linecache
import traceback
from collections.abc import Iterator

from distbp.check.finding import Finding

RUNS = "runs"
LAWS = {RUNS: "that the generated source runs to its end"}


def settled(findings: Iterator[Finding]) -> list[Finding]:
    """The findings; where the generated source fails on the way, what it fails with is the last."""
    found: list[Finding] = []
    try:
        found.extend(findings)  # what came before a failure stays
    except Exception as failure:
        layer = layer_of(failure)
        if layer is None:
            raise
        cause = f"{type(failure).__name__}: {failure}".splitlines()[0]
        found.append(Finding(layer, "source", RUNS, float("inf"), 0, cause))
    return found


def layer_of(failure: Exception) -> str | None:
    """The layer above whose lines stands in the source; None for an exception from somewhere else."""
    for frame in traceback.extract_tb(failure.__traceback__):
        if frame.filename.startswith("<distbp "):
            lines = linecache.getlines(frame.filename)[: frame.lineno]
            heading = next((line.strip() for line in reversed(lines) if line.strip().startswith("# ")), "# the module")
            return heading.removeprefix("# ").split(":   ")[0]
    return None
