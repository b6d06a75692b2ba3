"""Sums of coded numbers: half the bytes, or a quarter, whatever the number of workers."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from distbp.comm.base import Communicator, Name
from distbp.reduction.compression.base import BLOCK, Compressor, squared_norm
from distbp.reduction.compression.code import Code
from distbp.reduction.compression.contents import Contents, fill, named
from distbp.reduction.compression.owed import Owed
from distbp.reduction.compression.parts import Parts


class Coded(Compressor):
    """Each worker owns a share of the bucket: the parts' shares come to it coded, and their sum leaves it coded.

    What is lost when the sum is coded is kept by its place in the bucket, and is added to the next sum, so that no
    rounding of either kind is lost for good. With one part a worker, it sends and receives what an uncompressed sum
    does, in the code's bytes. r blocks of a share, B bytes of a coded block.
    """

    def __init__(self, contents: Contents, comm: Communicator, *, code: Code) -> None:
        super().__init__(contents, comm)
        self._code = code
        self._rank, self._size = comm.rank, comm.size
        self._bytes = code.bytes(contents.wide)
        self._blocks = self.padded // BLOCK // comm.size
        self._owed = Owed(self._blocks, BLOCK, dtype=contents.wide, device=comm.device)

    def sum(self, owed: Sequence[Tensor], total: Tensor, parts: Parts, *, count: float, name: Name) -> float:
        """An ``all_to_all`` of coded parts, the fold, an ``all_gather`` of coded sums."""
        comm = parts.comm
        sent = self._memory(comm.size, len(owed))
        for k, part in enumerate(owed):
            self._encode(part.view(comm.size, self._blocks, BLOCK), sent[:, k])
        incoming = self._memory(sum(map(len, parts.held)))
        each = self._blocks * self._bytes
        comm.all_to_all(
            incoming,
            sent,
            name=name,
            sent=[len(owed) * each] * comm.size,
            received=[len(held) * each for held in parts.held],
        ).wait()
        self._owed.add(parts.fold(list(self._decoded(incoming))), count=count)
        mine, whole = self._memory(), self._memory(comm.size)
        self._encode(self._owed.values, mine)
        comm.all_gather(whole, mine, name=name).wait()
        total.copy_(self._decoded(whole).view(-1)[: self.contents.length])
        return squared_norm([self._owed.values])

    def state(self, comm: Communicator, *, name: Name) -> dict[str, Tensor]:
        """What is owed of the sum, tensor by tensor, and the count that it is of."""
        whole = self._owed.values.new_empty(self.padded)
        comm.all_gather(whole, self._owed.values, name=name).wait()
        return named("sum", whole, self.contents) | {"count/sum": torch.tensor(self._owed.count, dtype=torch.float64)}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """This worker's share of what is owed."""
        whole = self._owed.values.new_zeros(self.padded)
        fill("sum", whole, self.contents, state)
        self._owed.values.copy_(whole.view(self._size, self._blocks, BLOCK)[self._rank])
        self._owed.count = float(state["count/sum"])

    def _encode(self, owed: Tensor, coded: Tensor) -> None:
        """Write down what is owed; what that leaves out is owed further.   (..., r, 1024) -> (..., r, B)."""
        self._code.encode(owed, coded)
        owed.sub_(self._decoded(coded))

    def _decoded(self, coded: Tensor) -> Tensor:
        numbers = self._owed.values.new_empty(*coded.shape[:-1], BLOCK)
        self._code.decode(coded, numbers)
        return numbers

    def _memory(self, *leading: int) -> Tensor:
        return torch.empty(*leading, self._blocks, self._bytes, dtype=torch.uint8, device=self._owed.values.device)
