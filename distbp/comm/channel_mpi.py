"""Agreement over the MPI world that mpirun or srun made."""

from typing import Any

import torch

from distbp.comm import mpi
from distbp.comm.base import decode, encode
from distbp.comm.channel import Channel, until
from distbp.comm.world import World


class MpiChannel(Channel):
    """The MPI world, with collectives that are polled: a blocking one would hold a core between two jobs."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self._group = mpi.everyone(world)

    def broadcast(self, value: Any) -> Any:
        """Rank 0's ``value``: its length, then its text."""
        text = encode(value if self.rank == 0 else None)
        length = torch.tensor([text.numel()])
        until(self._group.Ibcast(mpi.memory(length), 0).Test)
        if self.rank != 0:
            text = torch.empty(int(length), dtype=torch.uint8)
        until(self._group.Ibcast(mpi.memory(text), 0).Test)
        return decode(text)

    def gather(self, value: Any) -> list[Any]:
        """Every rank's ``value``: their lengths, then their texts."""
        text = encode(value)
        lengths = torch.empty(self.size, dtype=torch.int64)
        until(self._group.Iallgather(mpi.memory(torch.tensor([text.numel()])), mpi.memory(lengths)).Test, self.absent())
        counts = lengths.tolist()
        texts = torch.empty(sum(counts), dtype=torch.uint8)
        until(self._group.Iallgatherv(mpi.memory(text), [mpi.memory(texts), counts]).Test, self.absent())
        return [decode(block) for block in texts.split_with_sizes(counts)]

    def close(self) -> None:
        """End MPI: no rank of this process can join again."""
        mpi.finalize()
