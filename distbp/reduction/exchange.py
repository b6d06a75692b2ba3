"""The sum by messages, along the tree: each rank receives its share of all subtrees, adds it up, and sends the sum."""

from collections.abc import Sequence

import torch
from torch import Tensor

from distbp.comm.base import Communicator, Name
from distbp.reduction.tree import Node, tree


class Exchange:
    """An ``all_to_all``, the fold, an ``all_gather``; nothing but copies is left to the library.

    A rank sends and receives about twice the buffer, as a ring does. The memory for what it receives, a share for each
    subtree, is kept from step to step: fresh pages cost more than the sum.
    """

    def __init__(self) -> None:
        self._memory: dict[torch.dtype, Tensor] = {}

    def sum(
        self,
        mine: Sequence[Tensor],
        held: Sequence[Sequence[Node]],
        present: tuple[bool, ...],
        total: Tensor,
        comm: Communicator,
        *,
        name: Name,
    ) -> None:
        """Leave the sum over all subtrees in ``total``, (n), on every rank of ``comm``; each owns n / N elements.

        ``held`` are the subtrees of each rank, ``mine`` the sums of this rank's, (n) each; ``total`` may be among them.
        """
        share = total.numel() // comm.size
        incoming = self._scratch(total, sum(map(len, held)) * share)
        comm.all_to_all(
            incoming,
            interleave([part.view(comm.size, share) for part in mine], total),
            name=name,
            sent=[len(mine) * share] * comm.size,
            received=[len(nodes) * share for nodes in held],
        ).wait()
        nodes = [node for of_rank in held for node in of_rank]
        own = tree(present).fold(dict(zip(nodes, incoming.view(-1, share), strict=True)), Tensor.add_)
        assert own is not None, "a batch has at least one part"
        comm.all_gather(total, own, name=name).wait()

    def _scratch(self, like: Tensor, length: int) -> Tensor:
        held = self._memory.get(like.dtype)
        if held is None or held.numel() < length:
            held = self._memory[like.dtype] = like.new_empty(length)
        return held[:length]


def interleave(parts: Sequence[Tensor], like: Tensor) -> Tensor:
    """What each rank is sent, one after the other: its share of every part.   k times (N, n) -> (N k n)."""
    if len(parts) == 1:
        return parts[0].view(-1)  # it lies so already
    return torch.stack(tuple(parts), dim=1).view(-1) if parts else like.new_empty(0)
