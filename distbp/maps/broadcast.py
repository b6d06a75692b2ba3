"""Broadcasting's transpose: what an operand was repeated over, its gradient is summed over."""

from typing import NamedTuple

import torch
from torch import Size, Tensor


class Form(NamedTuple):
    """What is left to know of an operand whose numbers are not needed."""

    shape: Size
    dtype: torch.dtype


def form(x: Tensor) -> Form:
    """The form of ``x``."""
    return Form(x.shape, x.dtype)


def folded(d: Tensor, operand: Form) -> Tensor:
    """``d`` summed over what ``operand`` was broadcast along, in its dtype; itself if there is nothing to do."""
    return d.sum_to_size(operand.shape).to(operand.dtype)


def scaled(d: Tensor, number: float) -> Tensor:
    """``number * d``; itself for 1."""
    return d if number == 1 else d * number
