"""The ledger of a node: the last collectives that each of its ranks has entered, in memory that they share.

The n-th entry of every rank is the same collective, or the ranks do not run the same program. The libraries do not
look: they sum float32 with int32, or two buckets crosswise, without a word.
"""

import mmap
import struct
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

from distbp.errors import JobError

ENTRIES = 64  # of each rank: more than two ranks can be apart, and a few steps
ENTRY = struct.Struct("=112sqq")  # two cache lines
ENTRY_BYTES = ENTRY.size
LEDGER_BYTES = ENTRIES * ENTRY_BYTES
TEXT, STEP, NUMBER = slice(112), slice(112, 120), slice(120, 128)  # bytes of an entry
PATIENCE = 1.0  # s that the ranks which have not come yet are waited for before one is blamed
POLL = 0.01  # s


class Collective(NamedTuple):
    """What an entry says."""

    step: int
    what: str
    phase: str
    bucket: int

    @classmethod
    def of(cls, entry: bytes) -> "Collective":
        """The collective of an entry."""
        what, phase, bucket = entry[TEXT].rstrip(b"\0").decode().split("\0")
        return cls(int.from_bytes(entry[STEP], sys.byteorder), what, phase, int(bucket))

    def __str__(self) -> str:
        return f"{self.what} (step {self.step}, phase {self.phase}, bucket {self.bucket})"


@lru_cache(maxsize=4096)
def text(what: str, dtype: object, size: int | None, phase: str, bucket: int) -> bytes:
    """What an entry holds besides its number and its step; a ``size`` of None is one that ranks may differ in."""
    elements = str(dtype).removeprefix("torch.") if dtype else ""
    of = f" of {elements}" if size is None else f" of {size} {elements}"
    return f"{what}{of if elements else ''}\0{phase}\0{bucket}".encode()


class Ledger:
    """The entries of ``ranks``, which begin at ``start`` in ``memory``; this process writes those of ``rank``."""

    def __init__(self, memory: mmap.mmap, start: int, rank: int, ranks: Sequence[int]) -> None:
        self.rank = rank
        self.ranks = ranks
        self._memory = memory
        self._starts = {r: start + LEDGER_BYTES * i for i, r in enumerate(ranks)}
        # Each compares with one other: where any two differ, some neighbours do, and the cost is that of one.
        self._mine, self._theirs = self._starts[rank], self._starts[ranks[(ranks.index(rank) + 1) % len(ranks)]]
        self._compared = 0

    def write(self, number: int, step: int, written: bytes) -> None:
        """This rank's entry ``number``, from 1 on."""
        # It is cleared, and then written in the order of the fields, the number last: whoever reads it before that
        # takes it for one that is not there yet.
        ENTRY.pack_into(self._memory, self._mine + number % ENTRIES * ENTRY_BYTES, written, step, number)

    def read(self, rank: int, number: int) -> bytes | None:
        """Entry ``number`` of ``rank``; None where it is not there yet, or not any more."""
        entry, again = self._entry(self._starts[rank], number), self._entry(self._starts[rank], number)
        return entry if entry == again and entry[NUMBER] == number.to_bytes(8, sys.byteorder) else None

    def unlike(self, entered: int) -> int | None:
        """The first entry, of the ``entered`` ones not compared yet, in which the next rank differs from this one."""
        memory, mine_from, theirs_from = self._memory, self._mine, self._theirs
        if mine_from == theirs_from:
            return None
        while self._compared < entered:
            number = self._compared + 1
            at = number % ENTRIES * ENTRY_BYTES  # as in _entry: what is done at every collective calls nothing
            mine_at, theirs_at = mine_from + at, theirs_from + at
            if memory[mine_at : mine_at + ENTRY_BYTES] != memory[theirs_at : theirs_at + ENTRY_BYTES]:
                mine, theirs = self.read(self.rank, number), self._entry(self._theirs, number)
                if theirs != self._entry(self._theirs, number):
                    continue  # it is being written: read while it comes, an old text may stand beside a new number
                if int.from_bytes(theirs[NUMBER], sys.byteorder) < number:
                    return None  # it has not come so far, and will be compared next time
                if mine and theirs[NUMBER] == mine[NUMBER] and theirs != mine:
                    return number
            self._compared = number
        return None

    def first_unlike(self, rank: int, entered: int) -> int | None:
        """The first entry, of those kept up to ``entered``, in which ``rank`` differs from this one.

        The last one tells whether there is any: who has left the order stays beside it.
        """
        if entered < 1 or self.read(self.rank, entered) == self.read(rank, entered):
            return None
        for number in range(max(1, entered - ENTRIES + 2), entered + 1):
            mine, theirs = self.read(self.rank, number), self.read(rank, number)
            if mine and theirs and mine != theirs:
                return number
        return None

    def judge(self, number: int) -> JobError:
        """Who is wrong where entry ``number`` differs: a rank unlike most, or one that leaves the order of before."""
        entries = self._entries(number)
        usual = self._usual(number, entries)
        expected = usual or next(iter(entries.values()))
        rank, entry = next((rank, entry) for rank, entry in entries.items() if entry != expected)
        other = next(rank for rank, entry in entries.items() if entry == expected)
        there, doubt = Collective.of(expected), "" if usual else "; nothing tells which of the two is wrong"
        cause = f"it entered {Collective.of(entry)} where rank {other} entered {there}{doubt}"
        return JobError(cause, rank=rank, step=there.step, phase=there.phase)

    def _entry(self, start: int, number: int) -> bytes:
        at = start + number % ENTRIES * ENTRY_BYTES
        return self._memory[at : at + ENTRY_BYTES]

    def _entries(self, number: int) -> Mapping[int, bytes]:
        """Entry ``number`` of every rank that comes to it in time."""
        until = time.monotonic() + PATIENCE
        while True:
            entries = {rank: entry for rank in self.ranks if (entry := self.read(rank, number))}
            if len(entries) == len(self.ranks) or time.monotonic() > until:
                return entries
            time.sleep(POLL)

    def _usual(self, number: int, entries: Mapping[int, bytes]) -> bytes | None:
        """The entry of most ranks; among equally many, what followed the collective before when it was last entered."""
        (most, votes), *others = Counter(entries.values()).most_common()
        if not others or votes > others[0][1]:
            return most
        habit = most[TEXT] if len({entry[TEXT] for entry in entries.values()}) == 1 else self._followed(number - 1)
        likely = [entry for entry in entries.values() if entry[TEXT] == habit]
        return min(likely, key=lambda entry: Collective.of(entry).step, default=None)  # who is ahead has left one out

    def _followed(self, number: int) -> bytes | None:
        """What came after this rank's last collective that was like its ``number``-th, but for the step."""
        before = self.read(self.rank, number)
        for earlier in range(number - 1, max(0, number - ENTRIES), -1):
            entry, next_one = self.read(self.rank, earlier), self.read(self.rank, earlier + 1)
            if before and entry and next_one and entry[TEXT] == before[TEXT]:
                return next_one[TEXT]
        return None
