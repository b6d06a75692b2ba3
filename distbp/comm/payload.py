"""What a collective reads and writes of a tensor: its elements in one row, the half types widened for sums."""

import torch
from torch import Tensor

HALVES = (torch.bfloat16, torch.float16)


def flat(tensor: Tensor) -> Tensor:
    """The tensor's own memory as one row, outside autograd.   (...)->(n)."""
    return tensor.detach().view(-1)


def widened(tensor: Tensor) -> Tensor:
    """A float32 copy of a half tensor, any other tensor itself.   (n)->(n).

    Halves are reduced in float32: a long sum in 8 or 11 bits loses what it adds.
    """
    return tensor.float() if tensor.dtype in HALVES else tensor
