"""One part of a global batch: the unit of work, and one leaf of the tree of sums."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from distbp.alignment import ALIGNMENT
from distbp.data import order

State = tuple[Tensor, ...]
"""What a module carries from one segment of its samples to the next, dimension 0 being the samples; () if it carries
nothing."""


@dataclass(frozen=True)
class Part:
    """The samples of one part, in one tensor each, with the number that seeds its random draws.

    ``index`` is the part's leaf in the tree; ``draws`` is keyed by (seed, step, part), never by the rank. Where it does
    not begin its samples it goes on with those of the same part of the step before.
    """

    index: int
    inputs: tuple[Tensor, ...]
    target: Any  # a tensor, or whatever the loss takes: tuples, lists and dictionaries of tensors
    draws: int
    begins: bool = True

    def __len__(self) -> int:
        return len(self.inputs[0])

    def leaves(self) -> list[Any]:
        """The inputs and what the target holds, in a program's order."""
        if isinstance(self.target, Tensor):
            return [*self.inputs, self.target]
        return [*self.inputs, *tree_leaves(self.target)]


def pieces(part: Part, micro_batches: int, min_part: int = 1) -> list[Part]:
    """``part`` cut into at most ``micro_batches`` consecutive micro-batches, as a batch is cut into parts.

    None is empty and, where the part has ``min_part`` samples, none is smaller. Each draws from a key of its own.
    """
    if micro_batches == 1:
        return [part]
    cuts = [cut for cut in order.parts(len(part), micro_batches, min_part) if cut]
    return [_piece(part, number, cut) for number, cut in enumerate(cuts)]


def placed(value: Any, device: torch.device) -> Any:
    """A fresh copy of every tensor in ``value`` on ``device``: contiguous, beginning on a 64-byte boundary.

    The bits of a kernel may depend on where its operands begin, so a slice of a larger batch is moved to where the
    same samples would lie if they had been loaded alone.
    """
    return _each(value, lambda tensor: _placed(tensor, device))


def _piece(part: Part, number: int, cut: range) -> Part:
    def slices(value: Any) -> Any:
        return _each(value, lambda tensor: _placed(tensor[cut.start : cut.stop], tensor.device))

    return Part(part.index, slices(part.inputs), slices(part.target), order.key(part.draws, number), part.begins)


def _placed(tensor: Tensor, device: torch.device) -> Tensor:
    copy = torch.empty(tensor.shape, dtype=tensor.dtype, device=device).copy_(tensor)
    assert copy.data_ptr() % ALIGNMENT == 0, "torch allocates on 64-byte boundaries"
    return copy


def _each(value: Any, function: Callable[[Tensor], Tensor]) -> Any:
    """``value`` with ``function`` applied to each tensor in its tuples, lists and dictionaries."""
    if isinstance(value, Tensor):
        return function(value)
    if isinstance(value, dict):
        return {name: _each(item, function) for name, item in value.items()}
    if isinstance(value, list):
        return [_each(item, function) for item in value]
    if isinstance(value, tuple):
        items = [_each(item, function) for item in value]
        return tuple(items) if type(value) is tuple else type(value)(*items)  # or a named one
    return value
