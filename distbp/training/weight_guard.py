"""The guard of the weights: every so many steps it finds out whether all workers still have the same ones.

Nothing else would tell. The gradients are summed whatever they were computed from, and a worker whose memory has
changed a bit, or whose loop has skipped an update, goes on with weights of its own.
"""

from collections import Counter
from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor, nn

from distbp.comm.base import Communicator, Name
from distbp.errors import JobError

EVERY = 100  # steps
ROW = 1 << 16  # words of 8 bytes that are added up side by side: they stay in the cache
MOST = 1 << 22  # words of one tensor that a comparison reads: of a larger one, another stretch each time
FACTOR = 6364136223846793005  # odd, so that no power of it loses a bit (Knuth, MMIX)


class WeightGuard:
    """Compares the tensors of ``module`` between the ranks of ``comm`` every ``every`` steps, or never (None)."""

    def __init__(self, module: nn.Module, comm: Communicator, *, every: int | None = EVERY) -> None:
        self.module = module
        self.comm = comm
        self.every = every
        self._turn = 0

    def look(self, step: int) -> None:
        """Compare them, if it is time. Collective."""
        if self.every and step % self.every == 0:
            self.compare(step)

    def compare(self, step: int) -> None:
        """JobError, on every rank, where a rank's tensors are not those of the others. Collective."""
        tensors = dict([*self.module.named_parameters(), *self.module.named_buffers()])
        if not self.every or self.comm.size == 1 or not tensors:
            return
        mine = torch.stack([checksum(tensor, turn=self._turn) for tensor in tensors.values()])
        everyone = mine.new_empty(self.comm.size * len(mine))
        self.comm.all_gather(everyone, mine, name=Name(step, "guard")).wait()
        self._turn += 1
        columns = everyone.view(self.comm.size, -1).T.tolist()
        for name, sums in zip(tensors, columns, strict=True):
            if len(set(sums)) > 1:
                raise drift(name, sums, step)


@torch.no_grad()
def checksum(tensor: Tensor, *, turn: int = 0) -> Tensor:
    """A sum modulo 2^64 of the tensor's words of 8 bytes, each times an odd number of its place.   -> () int64.

    Exact on every device and for any number of threads. One changed word always changes it; words that change places
    do, unless the factors conspire. Of a tensor with more than ``MOST`` words it reads stretch ``turn``.
    """
    flat = tensor.detach().contiguous().view(-1)
    if flat.storage_offset() * flat.element_size() % 8:  # a slice, whose bytes no words of 8 begin on
        flat = flat.clone()
    raw = flat.view(torch.uint8)
    whole = raw.numel() // 8 * 8
    words, rest = raw[:whole].view(torch.int64), raw[whole:].to(torch.int64)
    start = turn % max(1, -(-words.numel() // MOST)) * MOST
    words = words[start : start + MOST]
    total = words.new_zeros(min(ROW, words.numel()))
    for row in torch.split(words, ROW):
        part = total[: row.numel()]
        torch.add(row, part, alpha=FACTOR, out=part)
    factors = places(tensor.device)
    return (total * factors[: total.numel()]).sum() + (rest * factors[-8 : -8 + rest.numel()]).sum()


@lru_cache(maxsize=8)
def places(device: torch.device) -> Tensor:
    """A different odd number for each place of a row, and for the last bytes of a tensor.   -> (ROW + 8) int64."""
    return torch.arange(1, 2 * (ROW + 8), 2, device=device) * FACTOR


def drift(name: str, sums: Sequence[int], step: int) -> JobError:
    """Which rank's tensor has drifted: one that most others do not have."""
    (most, votes), (_, fewer), *_ = Counter(sums).most_common()
    if votes > fewer:
        rank = next(rank for rank, found in enumerate(sums) if found != most)
        cause = f"its {name} has drifted: {votes} of {len(sums)} ranks have the same, and it has not"
    else:
        rank = next(rank for rank, found in enumerate(sums) if found != sums[0])
        cause = f"its {name} is not that of rank 0: one of them has drifted, and nothing tells which"
    return JobError(cause, rank=rank, step=step, phase="guard")
