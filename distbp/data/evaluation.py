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
    """Block ``number`` of a split: its samples, or a segment of them, as one call of the module takes them.

    ``first`` is how many examples the blocks before it have. Where it does not begin its samples it goes on with those
    of the block before.
    """

    number: int
    first: int
    inputs: tuple[Tensor, ...]
    target: Any
    begins: bool


def blocks(samples: int, batch_size: int) -> int:
    """The number of batches of ``batch_size`` samples, the last one ragged, that hold ``samples`` samples."""
    return -(-samples // batch_size)


def evaluation(split: Split, *, batch_size: int, rank: int, size: int, device: torch.device = CPU) -> Iterator[Block]:
    """The consecutive blocks that fall to ``rank`` of ``size``, in order; a rank may have none.

    The samples are ``[b batch_size, (b + 1) batch_size)``, whose segments are blocks one after the other. A split that
    augments is shown with the draws of seed 0, epoch 0, the same at every evaluation.
    """
    draws = order.draws(len(split), split.draws, seed=0, epoch=0)
    for b in order.leaves(blocks(len(split), batch_size), size, rank):
        samples = np.arange(b * batch_size, min((b + 1) * batch_size, len(split)))
        for segment in range(split.segments):
            inputs, target = split.segment(segment).batch(samples, draws[samples])
            first = b * batch_size * split.segments + segment * len(samples)
            number = b * split.segments + segment
            yield Block(number, first, placed(inputs, device), placed(target, device), begins=segment == 0)
