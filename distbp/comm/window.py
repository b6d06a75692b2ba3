"""Memory in which ranks of one node meet: what one rank writes there, the others read, and nothing is sent."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from distbp.comm.base import Communicator

Nodes = tuple[tuple[int, ...], ...]
"""The ranks of each node, in order: equally many on each."""


@dataclass(frozen=True, eq=False)
class Window:
    """Equal blocks of bytes, zero at first: one for each rank of this rank's node, which all of them read and write.

    ``blocks[place]`` is this rank's own. ``across`` joins it with the ranks that have the same place on the other
    nodes, in order of node. Where nothing can be shared, each rank is a node by itself.
    """

    blocks: tuple[Tensor, ...]  # (bytes) uint8 each, in order of rank, on 64-byte boundaries
    place: int
    nodes: Nodes
    across: "Communicator"
    fence: Callable[[], None] = lambda: None
    """Return when every rank of this node has come: what any of them wrote before, all read after it."""

    @classmethod
    def private(cls, block: Tensor, comm: "Communicator") -> "Window":
        """The window of a rank that shares nothing: a node by itself."""
        return cls((block,), 0, tuple((rank,) for rank in range(comm.size)), comm)

    @property
    def own(self) -> Tensor:
        """This rank's block."""
        return self.blocks[self.place]

    @property
    def shared(self) -> bool:
        """Whether other ranks see this memory."""
        return len(self.blocks) > 1


def zeros(size: int, device: torch.device) -> Tensor:
    """A block of memory that nobody else sees.   -> (size) uint8."""
    return torch.zeros(size, dtype=torch.uint8, device=device)
