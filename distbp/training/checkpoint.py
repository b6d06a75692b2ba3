"""Checkpoints: whole tensors under the module's own names, with their checksums, written so that none is ever half.

``checkpoints/step-00000060/`` holds ``model.safetensors`` (``torch``'s plain ``load_state_dict`` takes it),
``optimizer.safetensors``, ``reduction.safetensors`` where sums are compressed (what has not been sent yet),
``carried.safetensors`` where the module carries a state from step to step, and
``checkpoint.json``: where the run stood, what was asked for, and the sha256 of each tensor. It is written under another
name, synced, and renamed.
"""

import json
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from distbp.errors import RequestError
from distbp.training.digest import digest

PATTERN = re.compile(r"step-(\d{8,})")
MANIFEST = "checkpoint.json"
FORMAT = 1
ALWAYS = {"model", "optimizer"}
SOMETIMES = {"reduction", "carried"}
"""The files of tensors, by name."""


@dataclass(frozen=True)
class Checkpoint:
    """A run after ``step`` steps, ``batch`` of them in ``epoch``; ``config`` is what was asked for."""

    step: int
    epoch: int
    batch: int
    config: Mapping[str, Any]
    model: Mapping[str, Tensor]
    optimizer: Mapping[str, Tensor]
    reduction: Mapping[str, Tensor] = field(default_factory=dict)
    carried: Mapping[str, Tensor] = field(default_factory=dict)


def save(checkpoint: Checkpoint, folder: Path, *, keep: int) -> Path:
    """Write the checkpoint into ``folder``, whole or not at all, and remove all but the newest ``keep``."""
    target = folder / f"step-{checkpoint.step:08d}"
    temporary = folder / f".{target.name}.{os.getpid()}"
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    tensors = {"model": checkpoint.model, "optimizer": checkpoint.optimizer}
    tensors |= {name: held for name in SOMETIMES if (held := getattr(checkpoint, name))}
    for name, values in tensors.items():
        # Tied and flat parameters share memory, which the format does not allow: each tensor is copied out.
        save_file(
            {key: value.detach().cpu().contiguous().clone() for key, value in values.items()}, temporary / file_of(name)
        )
    manifest = {
        "format": FORMAT,
        "step": checkpoint.step,
        "epoch": checkpoint.epoch,
        "batch": checkpoint.batch,
        "config": checkpoint.config,
        "sha256": {name: checksums(values) for name, values in tensors.items()},
    }
    (temporary / MANIFEST).write_text(json.dumps(manifest, indent=1))
    for path in [*temporary.iterdir(), temporary]:
        sync(path)
    shutil.rmtree(target, ignore_errors=True)
    temporary.rename(target)
    sync(folder)
    for old in saved(folder)[:-keep]:
        shutil.rmtree(old)
    return target


def load(path: Path) -> Checkpoint:
    """The checkpoint at ``path``, every tensor checked against its sha256."""
    manifest = manifest_of(path)
    tensors = {name: checked(path / file_of(name), sums) for name, sums in manifest["sha256"].items()}
    position = {key: manifest[key] for key in ("step", "epoch", "batch", "config")}
    return Checkpoint(**position | tensors)


def manifest_of(path: Path) -> dict[str, Any]:
    """What ``checkpoint.json`` in ``path`` says."""
    try:
        manifest: dict[str, Any] = json.loads((path / MANIFEST).read_text())
    except OSError as error:
        what = f"a checkpoint with a readable {MANIFEST} is needed ({error.strerror})"
        raise RequestError("resume", path, what) from error
    except ValueError as error:
        raise RequestError("resume", path / MANIFEST, f"it is not JSON ({error})") from error
    if not well_formed(manifest):
        raise RequestError("resume", path / MANIFEST, f"it is not a checkpoint of format {FORMAT}")
    return manifest


def well_formed(manifest: Any) -> bool:
    """Whether a manifest has all its parts, each of its kind."""
    kinds = {"format": int, "step": int, "epoch": int, "batch": int, "config": dict, "sha256": dict}
    return (
        isinstance(manifest, dict)
        and all(isinstance(manifest.get(key), kind) for key, kind in kinds.items())
        and manifest["format"] == FORMAT
        and min(manifest["step"], manifest["epoch"], manifest["batch"]) >= 0
        and {"shards", "threads", "optimizer"} <= manifest["config"].keys()
        and ALWAYS <= manifest["sha256"].keys() <= ALWAYS | SOMETIMES
        and all(isinstance(sums, dict) for sums in manifest["sha256"].values())
    )


def checksums(tensors: Mapping[str, Tensor]) -> dict[str, str]:
    """The sha256 of each tensor, by name."""
    return {name: digest({name: tensor}) for name, tensor in tensors.items()}


def checked(path: Path, sums: Mapping[str, str]) -> dict[str, Tensor]:
    """The tensors of a file, if they are those that the checksums were taken of."""
    try:
        tensors = load_file(path)
    except (OSError, SafetensorError) as error:
        raise RequestError("resume", path, f"it does not load ({error})") from error
    if tensors.keys() != sums.keys():
        raise RequestError("resume", path, f"tensors {sorted(tensors.keys() ^ sums.keys())} are missing or foreign")
    for name, found in checksums(tensors).items():
        if found != sums[name]:
            raise RequestError("resume", path, f"tensor {name} is damaged: its sha256 is not the one that was saved")
    return tensors


def saved(folder: Path) -> list[Path]:
    """The checkpoints in ``folder``, oldest first."""
    if not folder.is_dir():
        return []
    numbered = [(int(match[1]), path) for path in folder.iterdir() if (match := PATTERN.fullmatch(path.name))]
    return [path for _, path in sorted(numbered)]


def fill(module: nn.Module, checkpoint: Checkpoint) -> None:
    """Put the checkpoint's weights into the module. RequestError if they are not of its shape."""
    try:
        module.load_state_dict(dict(checkpoint.model))
    except RuntimeError as error:
        what = f"its weights do not fit the module ({' '.join(str(error).split())})"
        raise RequestError("resume", f"step {checkpoint.step}", what) from error


def discard_after(step: int, folder: Path) -> None:
    """Remove the checkpoints of more than ``step`` steps: a run that goes on from there has left that line."""
    for path in saved(folder):
        if int(path.name.removeprefix("step-")) > step:
            shutil.rmtree(path)


def find(resume: str, run_dir: Path | None) -> Path | None:
    """The checkpoint that ``resume`` asks for: a checkpoint's folder, a run's, or ``latest`` in ``run_dir``.

    None if ``latest`` is asked for and there is none yet.
    """
    if resume == "latest":
        if run_dir is None:
            raise RequestError("resume", resume, "run_dir=PATH says in which run; or give resume=PATH")
        return next(reversed(saved(run_dir / "checkpoints")), None)
    path = Path(resume).expanduser()
    if (path / MANIFEST).exists():
        return path
    if not path.is_dir():
        raise RequestError("resume", resume, "the folder of a checkpoint or of a run, or latest, is allowed")
    within = saved(path / "checkpoints") or saved(path)
    if not within:
        raise RequestError("resume", resume, "the folder holds no checkpoint")
    return within[-1]


def overrides_of(resume: str, run_dir: str | None = None) -> list[str]:
    """The overrides that the checkpoint's run was asked for with, so that it need not be described again."""
    path = find(resume, Path(run_dir) if run_dir else None)
    if path is None:
        return []
    overrides = manifest_of(path)["config"].get("overrides", [])
    return [str(override) for override in overrides]


def file_of(name: str) -> str:
    """The file that holds the tensors of this name."""
    return f"{name}.safetensors"


def sync(path: Path) -> None:
    """Have the disk hold what was written to a file or a folder."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
