"""Folders of four small IDX files of noise."""

import gzip
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np


def pictures(n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (n, 28, 28), dtype=np.uint8)


def labels(n: int) -> np.ndarray:
    return (np.arange(n) % 10).astype(np.uint8)


def idx(array: np.ndarray) -> bytes:
    """An array of bytes as a file of IDX."""
    return struct.pack(f">{array.ndim + 1}I", 0x0800 + array.ndim, *array.shape) + array.tobytes()


def write(folder: Path, training: int = 60, test: int = 20, pack: Callable[[bytes], bytes] = bytes) -> Path:
    """The four files, with as many pictures in each split; their labels go round."""
    ending = ".gz" if pack is gzip.compress else ""
    for split, n in (("train", training), ("t10k", test)):
        (folder / f"{split}-images-idx3-ubyte{ending}").write_bytes(pack(idx(pictures(n, seed=n))))
        (folder / f"{split}-labels-idx1-ubyte{ending}").write_bytes(pack(idx(labels(n))))
    return folder
