"""Where each worker of this node stands: one row a rank, in memory that they share.

A rank writes its own row and reads the others'. When a worker dies or does not arrive, the row that it left behind
says at which step, in which phase and bucket.
"""

import fcntl
import mmap
import os
import struct
import tempfile
import time
from collections.abc import Iterable
from enum import IntEnum
from pathlib import Path
from typing import NamedTuple

ROW = struct.Struct("=qqq24sqqqd")
ROW_BYTES = 128  # two cache lines: no two ranks write to one
HEADER_BYTES = 128


class State(IntEnum):
    """What a rank last said of itself."""

    ABSENT = 0
    RUNNING = 1
    FINISHED = 2
    FAILED = 3


class Row(NamedTuple):
    """One rank's row: ``collectives`` counts those it has entered; ``since`` is when it last moved (monotonic s)."""

    pid: int
    state: int
    step: int
    phase: str
    bucket: int
    collectives: int
    waiting: bool
    since: float


class Board:
    """The rows of the ranks of one node, of which this process writes row ``rank``."""

    def __init__(self, memory: mmap.mmap, descriptor: int, rank: int, ranks: Iterable[int]) -> None:
        self.rank = rank
        self.ranks = tuple(ranks)
        self._memory = memory
        self._descriptor = descriptor
        self._slots = {r: HEADER_BYTES + ROW_BYTES * i for i, r in enumerate(self.ranks)}
        self._offset = self._slots[rank]
        self._state, self._step, self._phase, self._bucket = State.RUNNING, 0, b"start", 0
        self._collectives, self._waiting = 0, False
        self._write()

    @classmethod
    def private(cls) -> "Board":
        """A board of one row, for a rank that nobody watches."""
        return cls(mmap.mmap(-1, HEADER_BYTES + ROW_BYTES), -1, 0, [0])

    @classmethod
    def create(cls, ranks: int) -> Path:
        """An empty board for ``ranks`` rows, as a file that the ranks open and then unlink."""
        shared = Path("/dev/shm")
        descriptor, path = tempfile.mkstemp(prefix="distbp-board-", dir=shared if os.access(shared, os.W_OK) else None)
        os.ftruncate(descriptor, HEADER_BYTES + ROW_BYTES * ranks)
        os.close(descriptor)
        return Path(path)

    @classmethod
    def open(cls, path: Path, rank: int, ranks: Iterable[int]) -> "Board":
        """The board that ``create`` made at ``path``, with a row for each of ``ranks``."""
        descriptor = os.open(path, os.O_RDWR)
        return cls(mmap.mmap(descriptor, 0), descriptor, rank, ranks)

    def at(self, step: int, phase: str) -> None:
        """This rank is now at ``step``, in ``phase``."""
        self._step, self._phase = step, phase.encode()[:24]
        self._write()

    def enter(self, name: "tuple[int, str, int]") -> None:
        """This rank enters the collective ``name``."""
        self._step, self._bucket = name[0], name[2]
        self._phase = name[1].encode()[:24]
        self._collectives += 1
        self._waiting = True
        self._write()

    def leave(self) -> None:
        """The collective that this rank entered is complete."""
        self._waiting = False
        self._write()

    def end(self, state: State) -> None:
        """This rank's last word."""
        self._state = state
        self._write()

    def read(self, rank: int) -> Row:
        """The row of ``rank``."""
        pid, state, step, phase, bucket, collectives, waiting, since = ROW.unpack_from(self._memory, self._slots[rank])
        return Row(pid, state, step, phase.rstrip(b"\0").decode(), bucket, collectives, bool(waiting), since)

    def claim(self) -> bool:
        """Whether this rank is the first on its node to ask: the one that speaks for all."""
        if self._descriptor < 0:
            return True
        fcntl.lockf(self._descriptor, fcntl.LOCK_EX)
        try:
            first = self._memory[0] == 0
            self._memory[0] = 1
            return first
        finally:
            fcntl.lockf(self._descriptor, fcntl.LOCK_UN)

    def _write(self) -> None:
        # As one copy: packed in place, a row would show zeros to a peer that reads it meanwhile.
        self._memory[self._offset : self._offset + ROW.size] = ROW.pack(
            os.getpid(), self._state, self._step, self._phase, self._bucket,
            self._collectives, self._waiting, time.monotonic(),
        )  # fmt: skip
