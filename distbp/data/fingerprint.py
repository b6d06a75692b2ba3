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
    """Of the inputs and targets that the split makes of some samples, with equal draws.

    ``samples``, their number; the ``sha256`` of all numbers; that of ``whole`` ones alone, and the ``means`` of float
    ones, which are nearly alike on any machine.
    """
    digest, whole, means = hashlib.sha256(), hashlib.sha256(), []
    for leaf in looked_at(split):
        content = raw(leaf) if isinstance(leaf, Tensor) else repr(leaf).encode()
        digest.update(content)
        if isinstance(leaf, Tensor) and leaf.is_floating_point():
            means.append(leaf.double().mean().item())
        else:
            whole.update(content)
    sums = {"sha256": digest.hexdigest()[:16], "whole": whole.hexdigest()[:16]}
    return {"samples": len(split), **sums, "means": means}


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
