"""Collectives for tensors on a GPU by a transport that reads and writes the host's memory: through a copy there.

N ranks, n elements of a tensor.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from distbp.comm.base import DONE, Communicator, Op, Work
from distbp.comm.payload import flat


class Staged(Communicator):
    """The ``host``'s ranks and collectives, for tensors on ``device``.

    What a collective reads is copied to the host, what it has written is copied back, and it is complete when it
    returns. The memory between is page-locked, so that the device copies it by itself, and is kept: the largest of each
    dtype, one to read from and one to write to. Nothing is shared: each rank is a node by itself. Closes ``host``.
    """

    def __init__(self, host: Communicator, device: torch.device) -> None:
        super().__init__(host.rank, host.size)
        self.kind = host.kind
        self.device = device
        self._host = host
        self._memory: dict[tuple[str, torch.dtype], Tensor] = {}

    def _close(self) -> None:
        self._memory.clear()
        self._host.close()

    def _all_reduce(self, tensor: Tensor, op: Op) -> Work:
        here = self._down(tensor)
        self._host._all_reduce(here, op).wait()
        return self._up(here, tensor)

    def _reduce_scatter(self, output: Tensor, tensor: Tensor, op: Op) -> Work:
        here = self._room("written", output)
        self._host._reduce_scatter(here, self._down(tensor), op).wait()
        return self._up(here, output)

    def _all_gather(self, output: Tensor, tensor: Tensor) -> Work:
        here = self._room("written", output)
        self._host._all_gather(here, self._down(tensor)).wait()
        return self._up(here, output)

    def _all_to_all(self, output: Tensor, tensor: Tensor, received: Sequence[int], sent: Sequence[int]) -> Work:
        here = self._room("written", output)
        self._host._all_to_all(here, self._down(tensor), received, sent).wait()
        return self._up(here, output)

    def _broadcast(self, tensor: Tensor, root: int) -> Work:
        here = self._down(tensor)
        self._host._broadcast(here, root).wait()
        return self._up(here, tensor)

    def _barrier(self) -> Work:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        self._host._barrier().wait()
        return DONE

    def _down(self, tensor: Tensor) -> Tensor:
        """What ``tensor`` holds, on the host.   (...) -> (n)."""
        here = self._room("read", tensor)
        here.copy_(flat(tensor))
        return here

    def _up(self, here: Tensor, tensor: Tensor) -> Work:
        flat(tensor).copy_(here)
        return DONE

    def _room(self, use: str, like: Tensor) -> Tensor:
        """Memory of the host for as many elements.   -> (n)."""
        held, wanted = self._memory.get((use, like.dtype)), like.numel()
        if held is None or held.numel() < wanted:
            locked = self.device.type == "cuda"
            held = self._memory[use, like.dtype] = torch.empty(wanted, dtype=like.dtype, pin_memory=locked)
        return held[:wanted]
