"""How a split is evaluated: in fixed blocks of consecutive samples, never padded, dealt out to the workers in order.

What a block sums to does not depend on who evaluates it; added up in the order of the blocks, neither does the whole.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from distbp.data import order
from distbp.data.batches import CPU
from distbp.data.part import placed
from distbp.data.split import Split


class Block(NamedTuple):
    """Block ``number`` of a split: its samples as one call of the module takes them."""

    number: int
    inputs: tuple[Tensor, ...]
    target: Any


def blocks(samples: int, batch_size: int) -> int:
    """The number of blocks of ``batch_size`` samples, the last one ragged, that hold ``samples`` samples."""
    return -(-samples // batch_size)


def evaluation(split: Split, *, batch_size: int, rank: int, size: int, device: torch.device = CPU) -> Iterator[Block]:
    """The consecutive blocks that fall to ``rank`` of ``size``, in order; a rank may have none.

    Block b is the samples ``[b batch_size, (b + 1) batch_size)``. A split that augments is shown with the draws of
    seed 0, epoch 0, the same at every evaluation.
    """
    draws = order.draws(len(split), split.draws, seed=0, epoch=0)
    for number in order.leaves(blocks(len(split), batch_size), size, rank):
        samples = np.arange(number * batch_size, min((number + 1) * batch_size, len(split)))
        inputs, target = split.batch(samples, draws[samples])
        yield Block(number, placed(inputs, device), placed(target, device))
