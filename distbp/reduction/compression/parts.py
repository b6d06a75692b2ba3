"""The parts of one batch, which of them each worker holds, and sums and gatherings of what the parts have."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from distbp.comm.base import Communicator
from distbp.data.order import leaves
from distbp.reduction.subtrees import ranks, subtrees
from distbp.reduction.tree import Node, tree


@dataclass(frozen=True)
class Parts:
    """P parts are ``present`` among the places of a batch; the workers of ``comm`` hold consecutive ones."""

    present: tuple[bool, ...]
    comm: Communicator

    @property
    def held(self) -> list[list[int]]:
        """The parts that each worker holds, in order of rank."""
        size = self.comm.size
        return [[v for v in leaves(len(self.present), size, rank) if self.present[v]] for rank in range(size)]

    @property
    def mine(self) -> list[int]:
        """The parts that this worker holds."""
        return self.held[self.comm.rank]

    def fold(self, values: Sequence[Tensor]) -> Tensor:
        """The sum of every part's value, in the tree's order; the values are written over."""
        total = tree(self.present).fold(nodes(tree(self.present).present, values), Tensor.add_)
        assert total is not None, "a batch has at least one part"
        return total

    def subtree_sums(self, values: Sequence[Tensor]) -> list[Tensor]:
        """The sums of this worker's subtrees, from its parts' values, which are written over."""
        own = nodes(self.mine, values)
        sums = [tree(self.present).fold(own, Tensor.add_, at=node) for node in self.subtrees[self.comm.rank]]
        return [value for value in sums if value is not None]

    @property
    def subtrees(self) -> tuple[tuple[Node, ...], ...]:
        """The subtrees that each worker sums alone."""
        return subtrees(self.present, ranks(self.comm.size))

    def rows(self, gathered: Tensor) -> Tensor:
        """Each part's row, where each worker has sent as many as the one that holds most.   (N K, b) -> (P, b)."""
        most = gathered.shape[0] // self.comm.size
        kept = [rank * most + i for rank, held in enumerate(self.held) for i in range(len(held))]
        return gathered[torch.tensor(kept, device=gathered.device)]


def nodes(parts: Sequence[int], values: Sequence[Tensor]) -> dict[Node, Tensor]:
    """The leaf of each part with its value."""
    return {Node(0, part): value for part, value in zip(parts, values, strict=True)}
