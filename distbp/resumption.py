"""Going on from a checkpoint: which one, and whether what is asked for now is what was asked for then."""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from distbp.errors import RequestError
from distbp.schema import Request, leaves
from distbp.training.checkpoint import Checkpoint, find, load, saved

FREE = (
    "workers", "comm", "device", "threads", "run_dir", "log", "checkpoint", "epochs", "steps", "engine", "evaluate",
    "resume", "resume_allow", "overrides", "output", "data.cache", "bench", "guards",
)  # fmt: skip
"""Keys that may change between a run and its continuation. Where ``engine``, ``device``, ``threads`` or ``epochs`` do,
the bits do, too."""


def find_checkpoint(request: Request) -> Checkpoint | None:
    """The checkpoint that ``resume`` asks for, loaded and verified; None where there is none to go on from yet."""
    if request.resume is None:
        return None
    run_dir = Path(request.run_dir) if request.run_dir else None
    if request.resume != "latest" or run_dir is None:
        path = find(request.resume, run_dir)
        return load(path) if path else None
    for path in reversed(saved(run_dir / "checkpoints")):
        with suppress(RequestError):  # damaged: the one before it is the newest good one
            return load(path)
    return None


def compatible(request: Request, checkpoint: Checkpoint | None, *, size: int) -> Request:
    """The request with ``shards`` as a number, once it is known to ask for what the checkpoint's run asked for."""
    shards: Any = request.shards
    if shards == "auto":
        shards = checkpoint.config["shards"] if checkpoint else size
    if shards < size:
        raise RequestError("workers", size, f"at most as many as shards={shards} are allowed")
    threads: Any = request.threads
    if threads == "auto" and checkpoint:
        threads = checkpoint.config["threads"]
    request = request.model_copy(update={"shards": shards, "threads": threads})
    if checkpoint:
        changed = list(changes(checkpoint.config, request.model_dump(mode="json"), allowed=request.resume_allow))
        if changed:
            listing = ", ".join(changed)
            keys = ",".join(change.split("=")[0] for change in changed)
            how = f"the run was another: {listing}; or add resume_allow=[{keys}]"
            raise RequestError("resume", request.resume, how)
    return request


def changes(before: Mapping[str, Any], now: Mapping[str, Any], *, allowed: tuple[str, ...]) -> Iterator[str]:
    """``key=value (it was value)`` for each key that differs and may not."""
    old, new = dict(leaves(before)), dict(leaves(now))
    for key in sorted(old.keys() | new.keys()):
        parents = {key.rsplit(".", n)[0] for n in range(key.count(".") + 1)}
        if old.get(key) != new.get(key) and not parents & {*FREE, *allowed}:
            yield f"{key}={new.get(key)} (it was {old.get(key)})"
