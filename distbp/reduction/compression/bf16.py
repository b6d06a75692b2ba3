"""bf16: float32's range in half its bytes."""

import torch
from torch import Tensor

from distbp.reduction.compression.base import BLOCK
from distbp.reduction.compression.code import Code


class BF16(Code):
    """``|decoded - x| <= 2^-8 |x|``: 8 significant bits, rounded to the nearest."""

    def bytes(self, dtype: torch.dtype) -> int:  # noqa: ARG002 - every dtype becomes this one
        """Two for each number."""
        return 2 * BLOCK

    def encode(self, numbers: Tensor, coded: Tensor) -> None:
        """Round."""
        coded.view(torch.bfloat16).copy_(numbers)

    def decode(self, coded: Tensor, numbers: Tensor) -> None:
        """Widen."""
        numbers.copy_(coded.view(torch.bfloat16))
