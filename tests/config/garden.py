"""A workload of somebody else's: its annotations are the schema of ``conf/workload/garden.yaml``."""

from typing import Any

from distbp.bounds import Positive, PositiveInt


def garden(*, beds: tuple[PositiveInt, ...], water: Positive = 1.0, path: str | None, cache: str, seed: int) -> Any:
    """Everything it was given."""
    return {"beds": beds, "water": water, "path": path, "cache": cache, "seed": seed}
