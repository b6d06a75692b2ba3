"""The fingerprint of a split: its number of samples, and a digest of a few. Equal data have equal fingerprints."""

import hashlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from distbp.data.split import Split

LOOKED_AT = 16  # samples, and segments of them, evenly spread


def fingerprint(split: Split) -> dict[str, Any]:
    """``samples`` and ``sha256``: of the inputs and targets that the split makes of some samples, with equal draws."""
    digest = hashlib.sha256()
    for leaf in looked_at(split):
        digest.update(raw(leaf) if isinstance(leaf, Tensor) else repr(leaf).encode())
    return {"samples": len(split), "sha256": digest.hexdigest()[:16]}


def traits(split: Split) -> dict[str, Any]:
    """``samples``, the ``sha256`` of whole numbers alone, and the ``means`` of float ones: nearly alike anywhere."""
    digest, means = hashlib.sha256(), []
    for leaf in looked_at(split):
        if isinstance(leaf, Tensor) and leaf.is_floating_point():
            means.append(leaf.double().mean().item())
        else:
            digest.update(raw(leaf) if isinstance(leaf, Tensor) else repr(leaf).encode())
    return {"samples": len(split), "sha256": digest.hexdigest()[:16], "means": means}


def looked_at(split: Split) -> Iterator[Any]:
    """What the split makes of some samples, with equal draws: inputs and targets."""
    chosen = spread(len(split))
    for segment in spread(split.segments) if len(chosen) else ():
        yield from tree_leaves(split.segment(int(segment)).batch(chosen, np.full((len(chosen), split.draws), 0.5)))


def spread(n: int) -> np.ndarray:
    """Some of the numbers 0 to n - 1."""
    return np.unique(np.linspace(0, n - 1, LOOKED_AT).astype(np.int64)) if n else np.arange(0)


def raw(tensor: Tensor) -> bytes:
    """Its dtype and shape, and its bytes as they lie in memory."""
    row = tensor.detach().cpu().contiguous().view(-1)
    return f"{tensor.dtype} {tuple(tensor.shape)} ".encode() + row.view(torch.uint8).numpy().tobytes()
