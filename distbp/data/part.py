"""One part of a global batch: the unit of work, and one leaf of the tree of sums."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_leaves, tree_unflatten

from distbp.alignment import ALIGNMENT, round_up
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

    None is empty, unless the part is, and where it has ``min_part`` samples none is smaller. Each draws from a key of
    its own.
    """
    if micro_batches == 1 or not len(part):
        return [part]
    cuts = [cut for cut in order.parts(len(part), micro_batches, min_part) if cut]
    return [_piece(part, number, cut) for number, cut in enumerate(cuts)]


def placed(value: Any, device: torch.device) -> Any:
    """A fresh copy of every tensor in ``value`` on ``device``: contiguous, beginning on a 64-byte boundary.

    The bits of a kernel may depend on where its operands begin, so a slice of a larger batch is moved to where the
    same samples would lie if they had been loaded alone.
    """
    return _each(value, lambda tensor: _placed(tensor, device))


def apart(value: Any, sizes: Sequence[int], device: torch.device) -> list[Any]:
    """The parts of ``value``, whose tensors hold the rows of all of them, one part of so many rows after the other.

    Each lies as if it had been placed alone; they share one copy of each tensor.
    """
    leaves, structure = tree_flatten(value)
    cut = [_apart(leaf, sizes, device) for leaf in leaves]
    return [tree_unflatten(list(part), structure) for part in zip(*cut, strict=True)]


def _apart(tensor: Tensor, sizes: Sequence[int], device: torch.device) -> Sequence[Tensor]:
    assert len(tensor) == sum(sizes), "a row is a sample's"
    row = tensor.element_size() * math.prod(tensor.shape[1:])
    rows = ALIGNMENT // math.gcd(row, ALIGNMENT)  # after so many, one begins on a boundary again
    room = [round_up(size, rows) for size in sizes]
    if room == list(sizes):
        return torch.split(_placed(tensor, device), room)
    before = np.cumsum(room) - room - (np.cumsum(sizes) - sizes)  # unused rows before each part
    places = torch.from_numpy(np.arange(len(tensor)) + np.repeat(before, sizes)).to(device)
    whole = _empty((sum(room), *tensor.shape[1:]), tensor, device).index_copy_(0, places, tensor.to(device))
    return [piece[:size] for piece, size in zip(torch.split(whole, room), sizes, strict=True)]


def _piece(part: Part, number: int, cut: range) -> Part:
    def slices(value: Any) -> Any:
        return _each(value, lambda x: _placed(x[cut.start : cut.stop] if x.dim() else x, x.device))

    return Part(part.index, slices(part.inputs), slices(part.target), order.key(part.draws, number), part.begins)


def _placed(tensor: Tensor, device: torch.device) -> Tensor:
    return _empty(tensor.shape, tensor, device).copy_(tensor)


def _empty(shape: Sequence[int], like: Tensor, device: torch.device) -> Tensor:
    found = torch.empty(shape, dtype=like.dtype, device=device)
    assert found.data_ptr() % ALIGNMENT == 0, "torch allocates on 64-byte boundaries"
    return found


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
