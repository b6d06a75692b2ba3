"""Checkpoints: whole tensors under the module's own names, with their checksums, written so that none is ever half.

``checkpoints/step-00000060/`` holds ``model.safetensors`` (``torch``'s plain ``load_state_dict`` takes it),
``optimizer.safetensors``, ``reduction.safetensors`` where sums are compressed (what has not been sent yet),
``carried.safetensors`` where the module carries a state on, and ``checkpoint.json``: where the run stood, what was
asked for, the sha256 of each tensor, and its own. It is written under another name, synced, and renamed.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from distbp.durable import create, sync
from distbp.errors import RequestError
from distbp.training import tensor_file
from distbp.training.digest import digests

ALWAYS = ("model", "optimizer")
SOMETIMES = ("reduction", "carried")
"""The files of tensors, by name: those of every checkpoint, and those that are there where something is in them."""
MANIFEST = "checkpoint.json"
FORMAT = 6
MOST = 2**26  # bytes of a manifest: it has 64 for each tensor, besides its name
BEST = {("of", str), ("step", int), ("value", float)}
SCALE = {("value", float), ("good", int)}
DEEPEST = 32  # of its nesting
LARGEST = 2**53  # of a step: what JSON's readers agree on


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
    best: Mapping[str, Any] = field(default_factory=dict)  # the best so far, as ``Best`` tells it
    progress: Mapping[str, Any] = field(default_factory=dict)  # what else evaluations have led to, as ``Progress`` does
    scale: Mapping[str, Any] = field(default_factory=dict)  # of the loss, as ``LossScale`` tells it
    loss: Mapping[str, Any] = field(default_factory=dict)  # its running mean, as ``Jumps`` tells it
    data: Mapping[str, Any] = field(default_factory=dict)  # what it was trained on, as ``trained_on`` tells it
    skipped: int = 0  # the last steps whose gradients were no numbers, one after the other

    @property
    def name(self) -> str:
        """The name of its folder."""
        return f"step-{self.step:08d}"

    def copy(self) -> "Checkpoint":
        """One of copies on the CPU, which stay as they are while training goes on."""
        copies: dict[str, Any] = {name: copied(tensors) for name, tensors in self.tensors().items()}
        return replace(self, **copies)

    def tensors(self) -> dict[str, Mapping[str, Tensor]]:
        """Its tensors, file by file."""
        files = {name: getattr(self, name) for name in (*ALWAYS, *SOMETIMES)}
        return {name: held for name, held in files.items() if held or name in ALWAYS}


def copied(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Copies on the CPU."""
    return {name: tensor.detach().to("cpu", copy=True) for name, tensor in tensors.items()}


def save(checkpoint: Checkpoint, folder: Path) -> Path:
    """Write the checkpoint into ``folder``, whole or not at all. OSError if that fails; then nothing is left of it."""
    target = folder / checkpoint.name
    temporary = folder / f".{target.name}.{os.getpid()}"
    try:
        temporary.mkdir(parents=True)
        fill(temporary, checkpoint)
        temporary.rename(target)
        sync(folder)
    except OSError:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    return target


def fill(folder: Path, checkpoint: Checkpoint) -> None:
    """Write the files of a checkpoint, and have the disk hold them."""
    tensors = checkpoint.tensors()
    for name, values in tensors.items():
        tensor_file.write(folder / file_of(name), values)
    manifest = {
        "format": FORMAT,
        "step": checkpoint.step,
        "epoch": checkpoint.epoch,
        "batch": checkpoint.batch,
        "best": checkpoint.best,
        "progress": checkpoint.progress,
        "scale": checkpoint.scale,
        "loss": checkpoint.loss,
        "skipped": checkpoint.skipped,
        "data": checkpoint.data,
        "config": checkpoint.config,
        "sha256": {name: digests(values) for name, values in tensors.items()},
    }
    manifest["own_sha256"] = own_sum(manifest)
    create(folder / MANIFEST, [json.dumps(manifest, indent=1).encode()])
    sync(folder)


def load(path: Path) -> Checkpoint:
    """The checkpoint at ``path``, every tensor checked against its sha256. RequestError names what is damaged."""
    manifest = manifest_of(path)
    tensors = {name: tensor_file.read(path / file_of(name), sums) for name, sums in manifest["sha256"].items()}
    told = ("step", "epoch", "batch", "config", "best", "progress", "scale", "loss", "skipped", "data")
    position = {key: manifest[key] for key in told}
    return Checkpoint(**position | tensors)


def manifest_of(path: Path) -> dict[str, Any]:
    """What ``checkpoint.json`` in ``path`` says."""
    file = path / MANIFEST
    if tensor_file.size_of_plain(file) > MOST:
        raise RequestError("resume", file, f"it has more than {MOST:,} bytes")
    try:
        manifest: dict[str, Any] = json.loads(file.read_bytes())
    except OSError as error:
        raise RequestError("resume", file, f"it does not load ({error.strerror})") from error
    except (ValueError, RecursionError) as error:
        raise RequestError("resume", file, f"it is not JSON ({error})") from error
    if depth(manifest) > DEEPEST:
        raise RequestError("resume", file, f"it is nested more than {DEEPEST} deep")
    if not well_formed(manifest):
        raise RequestError("resume", file, f"it is not a checkpoint of format {FORMAT}")
    if manifest.pop("own_sha256") != own_sum(manifest):
        raise RequestError("resume", file, "it is damaged: its sha256 is not the one that was saved")
    return manifest


def well_formed(manifest: Any) -> bool:
    """Whether a manifest has all its parts, each of its kind."""
    kinds = {"format": int, "step": int, "epoch": int, "batch": int, "config": dict, "sha256": dict, "own_sha256": str}
    kinds |= {"best": dict, "progress": dict, "scale": dict, "loss": dict, "skipped": int, "data": dict}
    return (
        isinstance(manifest, dict)
        and all(isinstance(manifest.get(key), kind) for key, kind in kinds.items())
        and manifest["format"] == FORMAT
        and all(0 <= manifest[key] < LARGEST for key in ("step", "epoch", "batch", "skipped"))
        and all(isinstance(manifest["config"].get(key), int) for key in ("shards", "threads"))
        and isinstance(manifest["config"].get("batch_size", 1), int)
        and isinstance(manifest["config"].get("optimizer"), dict)
        and {*ALWAYS} <= manifest["sha256"].keys() <= {*ALWAYS, *SOMETIMES}
        and (not manifest["best"] or {(key, type(value)) for key, value in manifest["best"].items()} >= BEST)
        and (not manifest["scale"] or {(key, type(value)) for key, value in manifest["scale"].items()} == SCALE)
        and well_formed_loss(manifest["loss"])
        and all(isinstance(sums, dict) for sums in manifest["sha256"].values())
    )


def well_formed_loss(loss: Mapping[str, Any]) -> bool:
    """Whether it is what ``Jumps`` tells, or nothing."""
    kinds = {"seen": int, "first": float, "mean": float, "variance": float, "high": bool}
    return {key: type(value) for key, value in loss.items()} in ({}, kinds)


def depth(value: Any) -> int:
    """How deep a value of JSON's is nested."""
    found, level = 0, [value]
    while level:
        inner = (node.values() if isinstance(node, dict) else node for node in level if isinstance(node, (dict, list)))
        found, level = found + 1, [child for children in inner for child in children]
    return found


def own_sum(manifest: Mapping[str, Any]) -> str:
    """The sha256 of all that a manifest says but this."""
    return hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()


def fill_module(module: nn.Module, checkpoint: Checkpoint) -> None:
    """Put the checkpoint's weights into the module. RequestError if they are not of its shape."""
    try:
        module.load_state_dict(dict(checkpoint.model))
    except RuntimeError as error:
        what = f"its weights do not fit the module ({' '.join(str(error).split())})"
        raise RequestError("resume", f"step {checkpoint.step}", what) from error


def file_of(name: str) -> str:
    """The file that holds the tensors of this name."""
    return f"{name}.safetensors"
