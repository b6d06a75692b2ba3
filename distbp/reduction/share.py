"""One worker's share of a bucket: the additions and copies that make it the sum over all parts."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial

import numpy as np
import torch
from torch import Tensor

from distbp.alignment import ALIGNMENT
from distbp.comm.base import Name
from distbp.reduction.bucket import Bucket
from distbp.reduction.exchange import Exchange
from distbp.reduction.subtrees import Place, subtrees, sums

CACHED = 1 << 19  # bytes that the operands of a stretch take together: they stay in the caches, for each thread

Copy = tuple[Tensor, Tensor]
"""``into`` and ``other``."""
Addition = tuple[Tensor, Tensor, Tensor]
"""``into``, and the two that are added."""
Call = tuple[Callable[..., object], tuple[object, ...]]
"""A function and what it is given."""


class Share:
    """Prepared once for a bucket and the parts present: from then on a sum is a list of calls.

    A share is summed in stretches. Where the node has all parts, each stretch is copied to the other workers while it
    is in the cache: with two workers every slot is read once and written once, as in a copy of the bucket. Of a
    scattered bucket nothing is copied: the last addition writes where the owner's slot is.
    """

    def __init__(self, bucket: Bucket, present: tuple[bool, ...]) -> None:
        assert any(present), "a batch has at least one part"
        window = bucket.window
        pairs, roots = sums(present, window.nodes, window.across.rank)
        self._across = window.across
        self._held = subtrees(present, window.nodes)
        self._present = present
        self._roots = [bucket.share(root) for root in roots]
        own, places = Place(window.place, 0), [(into, into, other) for into, other in pairs]
        end = roots[0] if window.across.size == 1 else own
        if bucket.scattered and end != own and places:
            places[-1], end = (own, *places[-1][1:]), own
        self._total = bucket.share(end)
        additions = [(bucket.share(into), bucket.share(left), bucket.share(right)) for into, left, right in places]
        firsts = [own] if bucket.scattered else [Place(worker, 0) for worker in range(len(bucket.twins))]
        copies = [(bucket.share(first), self._total) for first in firsts if first != end]
        if window.across.size == 1:
            self._before, self._after = calls(additions, copies), calls([], [])
        else:
            self._before, self._after = calls(additions, []), calls([], copies)

    def sum(self, exchange: Exchange, name: tuple[int, str, int]) -> None:
        """From every worker's subtrees to the sum over all parts, in slot 0 of who is to have it."""
        for call, operands in self._before:
            call(*operands)
        if self._across.size > 1:
            exchange.sum(self._roots, self._held, self._present, self._total, self._across, name=Name(*name))
            # The messages have left the board, and the node has still to meet.
            self._across.board.enter(name, "meeting")
        for call, operands in self._after:
            call(*operands)


def calls(additions: Sequence[Addition], copies: Sequence[Copy]) -> list[Call]:
    """``into <- left + right`` and ``into <- other``, in this order, stretch by stretch."""
    made: list[Call] = []
    for stretch in stretches([*additions, *copies]):
        made += [addition(*(operand[stretch] for operand in operands)) for operands in additions]
        made += [copy(into[stretch], other[stretch]) for into, other in copies]
    return made


def addition(into: Tensor, left: Tensor, right: Tensor) -> Call:
    """``into <- left + right``."""
    if light(into):
        return np.add, (left.numpy(), right.numpy(), into.numpy())
    return partial(torch.add, out=into), (left, right)


def copy(into: Tensor, other: Tensor) -> Call:
    """``into <- other``."""
    return (np.copyto, (into.numpy(), other.numpy())) if light(into) else (Tensor.copy_, (into, other))


def light(operand: Tensor) -> bool:
    """Whether numpy does it: on one thread its calls cost half of torch's, and their bits are the same."""
    return operand.dtype in (torch.float32, torch.float64) and torch.get_num_threads() == 1


def stretches(together: Sequence[tuple[Tensor, ...]]) -> Iterator[slice]:
    """The elements of some equally long tensors in stretches that begin on 64-byte boundaries."""
    if not together:
        return
    operands = {tensor.data_ptr(): tensor for tensors in together for tensor in tensors}
    length, itemsize = together[0][0].numel(), together[0][0].itemsize
    aligned = ALIGNMENT // itemsize
    step = max(CACHED * torch.get_num_threads() // itemsize // len(operands) // aligned, 1) * aligned
    yield from (slice(start, min(start + step, length)) for start in range(0, length, step))
