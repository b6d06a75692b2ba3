"""The sum by messages, along the tree: each rank receives its share of all subtrees, adds it up, and sends the sum.

Where one message costs less than two, each rank receives everything and adds it up itself.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from distbp.comm.base import Communicator, Name
from distbp.reduction.tree import Node, tree

SMALL = 1 << 19  # bytes that a rank receives sooner in one message than half of them in each of two


class Exchange:
    """An ``all_to_all``, the fold, an ``all_gather``, or one ``all_gather`` and the fold: nothing but copies is left to
    the library, and the bits are the same.

    By shares a rank sends and receives about twice the buffer, as a ring does. The memory for what it receives is kept
    from step to step: fresh pages cost more than the sum.
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
        way = self._whole if at_once(total, held) else self._by_shares
        way(mine, held, present, total, comm, name=name)

    def _whole(
        self,
        mine: Sequence[Tensor],
        held: Sequence[Sequence[Node]],
        present: tuple[bool, ...],
        total: Tensor,
        comm: Communicator,
        *,
        name: Name,
    ) -> None:
        incoming = self._scratch(total, sum(map(len, held)) * total.numel())
        comm.all_gather(incoming, mine[0] if len(mine) == 1 else torch.cat(tuple(mine)), name=name).wait()
        total.copy_(folded(incoming.view(-1, total.numel()), held, present))

    def _by_shares(
        self,
        mine: Sequence[Tensor],
        held: Sequence[Sequence[Node]],
        present: tuple[bool, ...],
        total: Tensor,
        comm: Communicator,
        *,
        name: Name,
    ) -> None:
        share = total.numel() // comm.size
        incoming = self._scratch(total, sum(map(len, held)) * share)
        comm.all_to_all(
            incoming,
            interleave([part.view(comm.size, share) for part in mine], total),
            name=name,
            sent=[len(mine) * share] * comm.size,
            received=[len(nodes) * share for nodes in held],
        ).wait()
        comm.all_gather(total, folded(incoming.view(-1, share), held, present), name=name).wait()

    def _scratch(self, like: Tensor, length: int) -> Tensor:
        held = self._memory.get(like.dtype)
        if held is None or held.numel() < length:
            held = self._memory[like.dtype] = like.new_empty(length)
        return held[:length]


def at_once(total: Tensor, held: Sequence[Sequence[Node]]) -> bool:
    """Whether every rank is sent all subtrees: equally many of each, and as little as by shares, or little at all."""
    counts = {len(nodes) for nodes in held}
    received = (len(held) - 1) * max(counts) * total.nbytes
    return len(counts) == 1 and min(counts) > 0 and received <= max(SMALL, total.nbytes)


def folded(rows: Tensor, held: Sequence[Sequence[Node]], present: tuple[bool, ...]) -> Tensor:
    """The sum over all subtrees, added up within ``rows``, of which each is one, in order of rank.   (k, n) -> (n)."""
    nodes = [node for of_rank in held for node in of_rank]
    values: dict[Node, Tensor] = dict(zip(nodes, rows, strict=True))
    total = tree(present).fold(values, Tensor.add_)
    assert total is not None, "a batch has at least one part"
    return total


def interleave(parts: Sequence[Tensor], like: Tensor) -> Tensor:
    """What each rank is sent, one after the other: its share of every part.   k times (N, n) -> (N k n)."""
    if len(parts) == 1:
        return parts[0].view(-1)  # it lies so already
    return torch.stack(tuple(parts), dim=1).view(-1) if parts else like.new_empty(0)
