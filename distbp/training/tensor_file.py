"""A file of named tensors in the safetensors format, which holds no code: written one by one, and read with suspicion.

The library writes a file from a copy of all its tensors in memory. Here each is copied and written by itself. Reading
is the library's, once the file is known to be a plain one, of a size that this machine can hold.
"""

import json
import os
import stat
import struct
from collections.abc import Mapping
from itertools import chain
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from distbp.durable import create
from distbp.errors import RequestError
from distbp.training.digest import digests, raw

CODES = {
    torch.float64: "F64", torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16",
    torch.int64: "I64", torch.int32: "I32", torch.int16: "I16", torch.int8: "I8", torch.uint8: "U8", torch.bool: "BOOL",
    torch.uint64: "U64", torch.uint32: "U32", torch.uint16: "U16", torch.complex64: "C64",
}  # fmt: skip
LENGTH = struct.Struct("<Q")  # before the header, which is JSON and ends on a multiple of 8 bytes
ENTRY = 1024  # bytes that the header has for a tensor at most, besides its name
LETTER = 6  # bytes of JSON for a byte of a name at most


def write(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Make the file and have the disk hold it."""
    names = sorted(tensors, key=lambda name: (-tensors[name].element_size(), name))  # so that each is aligned
    entries, end = {}, 0
    for name in names:
        tensor = tensors[name]
        begin, end = end, end + tensor.numel() * tensor.element_size()
        entries[name] = {"dtype": CODES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [begin, end]}
    header = json.dumps(entries).encode()
    header += b" " * (-len(header) % 8)
    contents = (raw(tensors[name].detach().cpu().contiguous()) for name in names)
    create(path, chain([LENGTH.pack(len(header)) + header], contents))


def read(path: Path, sums: Mapping[str, str]) -> dict[str, Tensor]:
    """The tensors of a file, if they are those that the digests ``sums`` were taken of."""
    refuse_giant(path, sums)
    try:
        tensors = load_file(path)
    except (OSError, SafetensorError, KeyError, RuntimeError, ValueError) as error:
        raise RequestError("resume", path, f"it does not load ({error})") from error
    if tensors.keys() != sums.keys():
        raise RequestError("resume", path, f"tensors {sorted(tensors.keys() ^ sums.keys())} are missing or foreign")
    for name, found in digests(tensors).items():
        if found != sums[name]:
            raise RequestError("resume", path, f"tensor {name} is damaged: its sha256 is not the one that was saved")
    return tensors


def refuse_giant(path: Path, sums: Mapping[str, str]) -> None:
    """RequestError for what would take more memory than its tensors can need, or than there is."""
    size = size_of_plain(path)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if size > memory:
        raise RequestError("resume", path, f"it has {size:,} bytes, and this machine {memory:,} of memory")
    with path.open("rb") as file:
        (header,) = LENGTH.unpack(file.read(LENGTH.size).ljust(LENGTH.size, b"\0"))
    most = ENTRY + sum(ENTRY + LETTER * len(name.encode()) for name in sums)
    if header > most:
        raise RequestError("resume", path, f"its header claims {header:,} bytes, and its tensors need at most {most:,}")


def size_of_plain(path: Path) -> int:
    """The size of a file that is one: RequestError for a link, a pipe or a device, and for one that is missing."""
    try:
        found = path.lstat()
    except OSError as error:
        raise RequestError("resume", path, f"it does not load ({error.strerror})") from error
    if not stat.S_ISREG(found.st_mode):
        raise RequestError("resume", path, "a plain file is needed, and no link, pipe or device")
    return found.st_size
