"""The shelf: the checkpoints of a run, ``checkpoints/step-00000060`` and so on, of which the newest good one counts.

What is not a folder of its own there is no checkpoint; a hidden one is what a job left that died while it wrote or
removed it. A checkpoint is hidden before it is removed, so that none is ever half.
"""

import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from distbp.errors import RequestError
from distbp.training.checkpoint import MANIFEST, Checkpoint, load, manifest_of

PATTERN = re.compile(r"step-(\d{8,15})")
HIDDEN = re.compile(r"\.step-\d{8,15}\.\d+")


class Found(NamedTuple):
    """The newest good checkpoint, from ``path``, and what was wrong with those that are newer."""

    checkpoint: Checkpoint
    path: Path
    refused: list[RequestError]


def saved(folder: Path) -> list[Path]:
    """The checkpoints in ``folder``, oldest first."""
    if not folder.is_dir():
        return []
    numbered = [(int(match[1]), path) for path in folder.iterdir() if (match := PATTERN.fullmatch(path.name))]
    return [path for _, path in sorted(numbered) if path.is_dir() and not path.is_symlink()]


def keep_newest(number: int, folder: Path, *, best: int | None = None) -> None:
    """Remove all but the newest ``number``, and the one of step ``best``."""
    for path in saved(folder)[:-number]:
        if step_of(path) != best:
            remove(path)


def discard_after(step: int, folder: Path) -> None:
    """Remove the checkpoints of more than ``step`` steps: a run that goes on from there has left that line."""
    for path in saved(folder):
        if step_of(path) > step:
            remove(path)


def step_of(path: Path) -> int:
    """The step of a checkpoint, by its name."""
    return int(path.name.removeprefix("step-"))


def remove(path: Path) -> None:
    """Remove a checkpoint, whole or not at all."""
    hidden = path.with_name(f".{path.name}.{os.getpid()}")
    shutil.rmtree(hidden, ignore_errors=True)
    path.rename(hidden)
    shutil.rmtree(hidden)


def tidy(folder: Path) -> None:
    """Remove what a job has left there that died, and what stands in the place of a checkpoint and is none."""
    for path in folder.iterdir() if folder.is_dir() else ():
        if path.is_symlink() or not path.is_dir():
            if PATTERN.fullmatch(path.name) or HIDDEN.fullmatch(path.name):
                path.unlink()
        elif HIDDEN.fullmatch(path.name):
            shutil.rmtree(path, ignore_errors=True)


def newest_good(resume: str, run_dir: Path | None) -> Found | None:
    """The checkpoint that ``resume`` asks for, loaded: the one that it names, or of a run the newest that is whole.

    None if ``latest`` is asked for and there is none yet. RequestError if none is good.
    """
    candidates = candidates_of(resume, run_dir)
    refused: list[RequestError] = []
    for path in candidates:
        try:
            return Found(good(path), path, refused)
        except RequestError as error:
            refused.append(error)
    if not candidates:
        return None
    if len(candidates) > 1:
        newest = f"of the newest, {refused[0].value}: {refused[0].allowed}"
        raise RequestError("resume", resume, f"none of the {len(candidates)} checkpoints is good; {newest}")
    raise refused[0]


def good(path: Path) -> Checkpoint:
    """The checkpoint at ``path``, if it is whole, and of the step by which its folder is called."""
    checkpoint = load(path)
    if PATTERN.fullmatch(path.name) and path.name != checkpoint.name:
        raise RequestError("resume", path / MANIFEST, f"it is of step {checkpoint.step}")
    return checkpoint


def candidates_of(resume: str, run_dir: Path | None) -> list[Path]:
    """The checkpoints that ``resume`` may mean, the best first: one that it names, or those of a run."""
    if resume == "latest":
        if run_dir is None:
            raise RequestError("resume", resume, "run_dir=PATH says in which run; or give resume=PATH")
        return saved(run_dir / "checkpoints")[::-1]
    path = Path(resume).expanduser()
    if (path / MANIFEST).exists():
        return [path]
    if not path.is_dir():
        raise RequestError("resume", resume, "the folder of a checkpoint or of a run, or latest, is allowed")
    within = saved(path / "checkpoints") or saved(path)
    if not within:
        raise RequestError("resume", resume, "the folder holds no checkpoint")
    return within[::-1]


def configuration_of(resume: str, run_dir: str | None = None) -> Mapping[str, Any]:
    """What the checkpoint's run was asked for, so that it need not be described again; nothing where there is none."""
    candidates = candidates_of(resume, Path(run_dir) if run_dir else None)
    for path in candidates:
        try:
            return dict(manifest_of(path)["config"])
        except RequestError:
            if path == candidates[-1]:
                raise
    return {}
