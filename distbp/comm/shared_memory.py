"""How much memory the processes of this machine can still share, and taking it before anybody writes to it.

A file of shared memory may be longer than what is free, and then a write beyond that ends the process (SIGBUS). So
what is free is asked first, and every page is taken at once, by a call that fails where a write would kill.
"""

import ctypes
import errno
import os
import sys
from pathlib import Path

from torch import Tensor

PAGE = os.sysconf("SC_PAGE_SIZE")  # bytes
MIB = 1 << 20
MADV_POPULATE_WRITE = 23  # Linux 5.14


def lack(folder: Path, needed: int) -> str | None:
    """Why ``needed`` bytes (without page tables) do not fit where shared memory lies, or None where they do."""
    try:
        place = os.statvfs(folder)
    except OSError as error:
        return f"{folder}: {error.strerror}"
    free = place.f_bavail * place.f_frsize
    if free >= needed:
        return None
    return f"{folder} has {free / MIB:.0f} MiB left, and {needed / MIB:.0f} MiB are needed"


def take(block: Tensor) -> str | None:
    """Give every page of ``block``, which begins on a page, its memory now; why it cannot be had, or None.

    Where the kernel has no such call, what ``lack`` found must do.
    """
    if sys.platform != "linux" or block.numel() == 0:
        return None
    libc = ctypes.CDLL(None, use_errno=True)
    pages = -(-block.numel() // PAGE) * PAGE
    if libc.madvise(ctypes.c_void_p(block.data_ptr()), ctypes.c_size_t(pages), MADV_POPULATE_WRITE) == 0:
        return None
    code = ctypes.get_errno()
    return None if code == errno.EINVAL else f"shared memory of {pages / MIB:.0f} MiB: {os.strerror(code)}"
