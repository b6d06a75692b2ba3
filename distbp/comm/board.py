"""Where each worker of this node stands: one row a rank, in memory that they share.

A rank writes its own row and reads the others'. When a worker dies or does not arrive, the row that it left behind
says at which step, in which phase and bucket.
"""

import fcntl
import mmap
import os
import struct
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from enum import IntEnum
from pathlib import Path
from time import monotonic
from typing import NamedTuple

from distbp.comm.ledger import LEDGER_BYTES, Ledger, text
from distbp.errors import JobError

ROW = struct.Struct("=qqq24sqqqdq")
PID, STATE, STEP, BUCKET, COLLECTIVES, WAITING, SINCE, ANSWERS = 0, 1, 2, 6, 7, 8, 9, 10  # words of 8 bytes in a row
LETTERS = slice(24, 48)  # bytes of a row: the phase
ROW_BYTES = 128  # two cache lines: no two ranks write to one
HEADER_BYTES = 128
CLAIMED, ACCUSED, ASKED = 0, 1, 2
"""Bytes and words of the header: who speaks is chosen; the rank that shows its stack, from 1 on; the job is to stop."""


class State(IntEnum):
    """What a rank last said of itself."""

    ABSENT = 0
    RUNNING = 1
    FINISHED = 2
    FAILED = 3
    STOPPED = 4


class Row(NamedTuple):
    """One rank's row: ``collectives`` counts those it has entered; ``since`` is when it last moved (monotonic s).

    ``answers``: it knows that the job is to stop.
    """

    pid: int
    state: int
    step: int
    phase: str
    bucket: int
    collectives: int
    waiting: bool
    since: float
    answers: bool


class Board:
    """The rows of the ranks of one node, of which this process writes row ``rank``."""

    def __init__(self, memory: mmap.mmap, descriptor: int, rank: int, ranks: Iterable[int]) -> None:
        self.rank = rank
        self.ranks = tuple(ranks)
        self._memory = memory
        self._descriptor = descriptor
        self._slots = {r: HEADER_BYTES + ROW_BYTES * i for i, r in enumerate(self.ranks)}
        self._header = memoryview(memory)[:HEADER_BYTES].cast("q")
        self.ledger = Ledger(memory, HEADER_BYTES + ROW_BYTES * len(self.ranks), rank, self.ranks)
        own = memoryview(memory)[self._slots[rank] : self._slots[rank] + ROW_BYTES]
        # Fields are stored one by one, each at once: a row packed in place would show zeros to who reads it meanwhile.
        self._words, self._times = own.cast("q"), own.cast("d")
        self._letters = own[LETTERS]
        self._phase = ""
        self._collectives = 0
        self.saves = False  # whether this rank, if it is asked to stop, does so after a step, and saves
        self.at(0, "start")
        self._words[PID] = os.getpid()
        self.end(State.RUNNING)

    @classmethod
    def private(cls) -> "Board":
        """A board of one row, for a rank that nobody watches."""
        return cls(mmap.mmap(-1, size_of(1)), -1, 0, [0])

    @classmethod
    def create(cls, ranks: int) -> Path:
        """An empty board for ``ranks`` rows, as a file that the ranks open and then unlink.

        In the temporary folder where /dev/shm has no room: a write to a page that the system then does not have would
        end the process.
        """
        shared = Path("/dev/shm")
        if os.access(shared, os.W_OK):
            with suppress(OSError):
                return _file(size_of(ranks), shared)
        return _file(size_of(ranks), None)

    @classmethod
    def open(cls, path: Path, rank: int, ranks: Iterable[int]) -> "Board":
        """The board that ``create`` made at ``path``, with a row for each of ``ranks``."""
        descriptor = os.open(path, os.O_RDWR)
        return cls(mmap.mmap(descriptor, 0), descriptor, rank, ranks)

    def at(self, step: int, phase: str) -> None:
        """This rank is now at ``step``, in ``phase``."""
        self._times[SINCE] = monotonic()
        self._words[STEP] = step
        if phase != self._phase:
            self._phase = phase
            self._letters[:] = phase.encode()[:24].ljust(24, b"\0")

    def enter(self, name: "tuple[int, str, int]", what: str, dtype: object = None, size: int | None = None) -> None:
        """This rank enters the collective ``name``: ``what``, on ``size`` elements of ``dtype``, if that is for all."""
        _, phase, bucket = name
        self.enter_as(name, text(what, dtype, size, phase, bucket))

    def enter_as(self, name: "tuple[int, str, int]", written: bytes) -> None:
        """This rank enters the collective ``name``, of which the ledger is to have the ``text`` that is ``written``."""
        step, phase, bucket = name
        self.at(step, phase)
        self._collectives = number = self._collectives + 1
        self.ledger.write(number, step, written)
        words = self._words
        words[BUCKET] = bucket
        words[COLLECTIVES] = number
        words[WAITING] = True  # last: whoever reads it reads since when, too

    def leave(self) -> None:
        """The collective that this rank entered is complete. JobError where a rank has entered another instead."""
        self._words[WAITING] = False
        self._times[SINCE] = monotonic()
        if number := self.ledger.unlike(self._collectives):
            raise self.ledger.judge(number)

    def dispute(self) -> JobError | None:
        """Whether this rank and another have entered different collectives, and who is wrong."""
        for rank in self.ranks:
            entered = min(self._collectives, self.read(rank).collectives)
            if rank != self.rank and (number := self.ledger.first_unlike(rank, entered)):
                return self.ledger.judge(number)
        return None

    def end(self, state: State) -> None:
        """This rank's last word."""
        self._times[SINCE] = monotonic()
        self._words[STATE] = state

    def read(self, rank: int) -> Row:
        """The row of ``rank``."""
        row = Row(*ROW.unpack_from(self._memory, self._slots[rank]))
        phase = bytes(row.phase).rstrip(b"\0").decode()  # type: ignore[arg-type]
        return row._replace(phase=phase, waiting=bool(row.waiting), answers=bool(row.answers))

    def claim(self) -> bool:
        """Whether this rank is the first on its node to ask: the one that speaks for all."""
        if self._descriptor < 0:
            return True
        fcntl.lockf(self._descriptor, fcntl.LOCK_EX)
        try:
            first = self._memory[CLAIMED] == 0
            self._memory[CLAIMED] = 1
            return first
        finally:
            fcntl.lockf(self._descriptor, fcntl.LOCK_UN)

    @contextmanager
    def saving(self) -> Iterator[None]:
        """Within, this rank looks after each step whether it is asked to stop."""
        self.saves = True
        try:
            yield
        finally:
            self.saves = False

    def ask(self) -> None:
        """Have all ranks stop: those of this node see it here, others in what is told in each step."""
        self._header[ASKED] = True

    @property
    def asked(self) -> bool:
        """Whether the job is to stop."""
        return bool(self._header[ASKED])

    def answer(self) -> None:
        """This rank knows that the job is to stop."""
        self._words[ANSWERS] = True

    def accuse(self, rank: int) -> None:
        """Ask ``rank``, for which others wait, to show where it is."""
        self._header[ACCUSED] = rank + 1

    @property
    def accused(self) -> bool:
        """Whether this rank is asked to show where it is."""
        return self._header[ACCUSED] == self.rank + 1


def _file(size: int, folder: Path | None) -> Path:
    """A new file of ``size`` zeros that has all its room. OSError where there is none."""
    descriptor, path = tempfile.mkstemp(prefix="distbp-board-", dir=folder)
    try:
        os.write(descriptor, bytes(size))
    except OSError:
        Path(path).unlink()
        raise
    finally:
        os.close(descriptor)
    return Path(path)


def size_of(ranks: int) -> int:
    """The bytes of a board for so many ranks."""
    return HEADER_BYTES + (ROW_BYTES + LEDGER_BYTES) * ranks
