"""Going on from a checkpoint: which one, and whether what is asked for now is what was asked for then."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from distbp.errors import RequestError
from distbp.schema import Request, known_keys, leaves
from distbp.training.checkpoint import Checkpoint
from distbp.training.shelf import Found, newest_good, saved, step_of
from distbp.training.trained_on import refuse_other_data

FREE = (
    "workers", "comm", "device", "threads", "run_dir", "log", "checkpoint", "epochs", "steps", "engine", "evaluate",
    "resume", "resume_allow", "overrides", "output", "data.cache", "bench", "guards", "stop_early",
    "find_lr",
)  # fmt: skip
"""Keys that may change between a run and its continuation."""

OF_BITS = ("engine", "device", "threads", "epochs")
"""Those of them with which the bits change, too."""


def find_checkpoint(request: Request) -> Found | None:
    """The checkpoint that ``resume`` asks for, loaded and verified; None where there is none to go on from yet."""
    if request.resume is None:
        return None
    return newest_good(request.resume, Path(request.run_dir) if request.run_dir else None)


def told(request: Request, found: Found | None) -> Iterator[str]:
    """What the user is told: where the run goes on, and why not from a newer checkpoint or with the same bits."""
    if found is None:
        yield f"resume: there is no checkpoint in {request.run_dir} yet: from step 0"
        return
    yield from (f"resume: passed over, {error}" for error in found.refused)
    yield f"resume: step {found.checkpoint.step}, from {found.path}"
    later = [step_of(path) for path in saved(found.path.parent) if step_of(path) > found.checkpoint.step]
    if later and found.path.parent.resolve() == (Path(request.run_dir or "") / "checkpoints").resolve():
        yield f"resume: the first checkpoint that is saved replaces those of steps {', '.join(map(str, later))}"
    free = [key for key in free_of(request) if key not in OF_BITS]
    changed = changes(found.checkpoint.config, request.model_dump(mode="json"), allowed=free)
    if listing := ", ".join(changed):
        yield f"resume: {listing}: the bits are not those of a run without a break"


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
        refuse_changed(request, checkpoint)
        refuse_past(request, checkpoint)
    return request


def refuse_changed(request: Request, checkpoint: Checkpoint) -> None:
    """RequestError that lists the keys that differ and may not."""
    now = request.model_dump(mode="json")
    changed = list(changes(checkpoint.config, now, allowed=(*free_of(request), *request.resume_allow)))
    if changed:
        known = known_keys(now)
        keys = ",".join(dict.fromkeys(allowance(change.split("=")[0], changed, known) for change in changed))
        how = f"the run was another: {', '.join(changed)}; or add resume_allow=[{keys}]"
        raise RequestError("resume", request.resume, how)


def refuse_changed_data(request: Request, data: Mapping[str, Any], checkpoint: Checkpoint | None) -> None:
    """RequestError where the data are not those of the run, unless ``resume_allow`` names them or the workload."""
    if checkpoint and not {key.partition(".")[0] for key in request.resume_allow} & {"data", "workload"}:
        refuse_other_data(checkpoint.data, data, request.resume or "")


def allowance(key: str, changed: Iterable[str], known: Collection[str]) -> str:
    """What ``resume_allow`` takes for a changed key: the group where another choice was made, or what it lies in."""
    group = key.partition(".")[0]
    if any(change.startswith(f"{group}.name=") for change in changed):
        return group
    while key not in known:
        key = key.rpartition(".")[0]
    return key


def free_of(request: Request) -> list[str]:
    """The keys that may change: not those of the evaluations, where the learning rate follows them; the batch size that
    the rate is meant for, where the rate does not follow it.
    """
    free = [key for key in FREE if key != "evaluate" or request.schedule["name"] != "plateau"]
    return [*free, "lr_batch_size"] if request.lr_scaling == "none" else free


def refuse_past(request: Request, checkpoint: Checkpoint) -> None:
    """RequestError where fewer steps or epochs are asked for than are done."""
    if request.steps is not None and request.steps < checkpoint.step:
        raise RequestError("steps", request.steps, f"{checkpoint.step} or more: as many are done")
    begun = checkpoint.epoch + (checkpoint.batch > 0)
    if request.epochs < begun:
        raise RequestError("epochs", request.epochs, f"{begun} or more: as many have begun")


def changes(before: Mapping[str, Any], now: Mapping[str, Any], *, allowed: Collection[str]) -> Iterator[str]:
    """``key=value (it was value)`` for each key that differs and is not ``allowed``, nor is what it belongs to."""
    old, new = dict(leaves(before)), dict(leaves(now))
    for key in sorted(old.keys() | new.keys()):
        parents = {key.rsplit(".", n)[0] for n in range(key.count(".") + 1)}
        if old.get(key) != new.get(key) and not parents & {*allowed}:
            yield f"{key}={new.get(key)} (it was {old.get(key)})"
