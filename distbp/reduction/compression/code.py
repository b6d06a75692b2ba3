"""A code: numbers in fewer bytes, block by block.

B bytes of a coded block. A not-a-number or an infinity makes its block not-a-number or infinite: it is never hidden.
"""

from abc import ABC, abstractmethod

import torch
from torch import Tensor


class Code(ABC):
    """How a block of 1,024 numbers of a dtype is written down."""

    @abstractmethod
    def bytes(self, dtype: torch.dtype) -> int:
        """The length of a coded block of numbers of this dtype."""

    @abstractmethod
    def encode(self, numbers: Tensor, coded: Tensor) -> None:
        """Write blocks of numbers down.   (..., 1024) -> (..., B) uint8."""

    @abstractmethod
    def decode(self, coded: Tensor, numbers: Tensor) -> None:
        """Read blocks of numbers.   (..., B) uint8 -> (..., 1024)."""
