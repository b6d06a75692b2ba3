"""The four IDX files of MNIST (LeCun 1998) and of the sets made like it: two of pictures, two of labels.

A file is a magic number, its sizes as big-endian 32-bit numbers, and one byte an element; plain or gzip. What a header
says is believed once the bytes are there: memory follows the file, and what is wrong is refused with file and place.
"""

import gzip
import struct
import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np

from distbp.data.formats import CHUNK_BYTES, CLASSES, MOST_ROWS, Digits, unzipped
from distbp.errors import RequestError

SIDE = 28  # pixels of a picture, either way


class Kind(NamedTuple):
    """What such a file holds: its name's ending, its magic number (unsigned bytes, so many dimensions), an element."""

    ending: str
    magic: int
    shape: tuple[int, ...]  # of one element


PICTURES = Kind("images-idx3-ubyte", 0x00000803, (SIDE, SIDE))
LABELS = Kind("labels-idx1-ubyte", 0x00000801, ())


def is_folder(path: str) -> bool:
    """Whether ``path`` is a folder, and so meant to hold IDX files."""
    try:
        return Path(path).expanduser().is_dir()
    except (OSError, RuntimeError):  # a name too long; ~ of a user without a home
        return False


def read_idx(folder: str | Path) -> tuple[Digits, Digits]:
    """The pictures for training (``train-...``) and for testing (``t10k-...``) of a folder of four IDX files.

    Raises RequestError("data.path", folder, the file and what is wrong with it).
    """
    try:
        place = Path(folder).expanduser()
        return read_pair(found(place, "train", PICTURES), found(place, "train", LABELS)), read_pair(
            found(place, "t10k", PICTURES), found(place, "t10k", LABELS)
        )
    except BadIdxError as error:
        raise RequestError("data.path", folder, str(error)) from None
    except (OSError, RuntimeError) as error:  # RuntimeError: ~ of a user without a home
        raise RequestError("data.path", folder, f"a folder of four IDX files is needed ({error})") from None


def read_pair(pictures: Path, labels: Path) -> Digits:
    """The pictures of one file with the labels of another. Raises BadIdxError."""
    pixels, classes = read(pictures, PICTURES), read(labels, LABELS)
    if len(pixels) != len(classes):
        raise BadIdxError(f"{labels.name}: {len(classes):,} labels for the {len(pixels):,} pictures of {pictures.name}")
    if classes.max() >= CLASSES:
        item = int((classes >= CLASSES).argmax())
        raise BadIdxError(f"{labels.name}: label {item + 1} is {classes[item]}, outside 0 to {CLASSES - 1}")
    counts = np.bincount(classes, minlength=CLASSES)
    if counts.min() == 0:
        raise BadIdxError(f"{labels.name}: no picture has label {counts.argmin()}")
    return Digits(pixels, classes)


class BadIdxError(Exception):
    """What is wrong with a file, with its name."""


def found(folder: Path, split: str, kind: Kind) -> Path:
    """The file of this split and kind in ``folder``, plain or gzip."""
    name = f"{split}-{kind.ending}"
    here = [path for path in (folder / name, folder / f"{name}.gz") if path.is_file()]
    if len(here) != 1:
        raise BadIdxError(
            f"{name} or {name}.gz is expected in the folder, and {'both are' if here else 'none is'} there"
        )
    return here[0]


def read(path: Path, kind: Kind) -> np.ndarray:
    """All elements of a file, (n, *kind.shape) uint8, n at least 1. Raises BadIdxError."""
    try:
        with path.open("rb") as raw, unzipped(raw) as file:
            count = announced(file.read(4 * (2 + len(kind.shape))), kind)
            size = count * int(np.prod(kind.shape))
            content = bytearray()
            while len(content) <= size and (chunk := file.read(min(CHUNK_BYTES, size + 1 - len(content)))):
                content += chunk
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise BadIdxError(f"{path.name}: the gzip file is truncated or damaged ({error})") from None
    except (OSError, BadIdxError) as error:
        raise BadIdxError(f"{path.name}: {error}") from None
    if len(content) != size:
        held = "more" if len(content) > size else f"{len(content):,}"
        raise BadIdxError(f"{path.name}: its header announces {size:,} bytes of content, the file holds {held}")
    return np.frombuffer(content, np.uint8).reshape(count, *kind.shape)


def announced(header: bytes, kind: Kind) -> int:
    """How many elements a header announces, where it is one of this kind."""
    if len(header) < 4 * (2 + len(kind.shape)):
        raise BadIdxError(f"{len(header)} bytes are no IDX header")
    magic, count, *shape = struct.unpack(f">{len(header) // 4}I", header)
    if magic != kind.magic:
        raise BadIdxError(f"its magic number is {magic:#010x}, {kind.magic:#010x} is expected")
    if tuple(shape) != kind.shape:
        raise BadIdxError(f"pictures of {' x '.join(map(str, shape))}, {SIDE} x {SIDE} are expected")
    if not 0 < count <= MOST_ROWS:
        raise BadIdxError(f"its header announces {count:,} elements, 1 to {MOST_ROWS:,} are allowed")
    return int(count)
