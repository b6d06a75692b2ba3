"""Codes with a scale for each block: fp16, which would overflow without it, and int8.

Rounding goes to the nearest. It errs by at most half of what stochastic rounding may, needs no random numbers, and the
bias that stochastic rounding is there to avoid is made up for by the feedback of errors.
"""

from abc import abstractmethod

import torch
from torch import Tensor

from distbp.reduction.compression.base import BLOCK
from distbp.reduction.compression.code import Code


class Scaled(Code):
    """``x = scale * q``: a block's largest ``|q|`` is ``largest``; the scale is kept in the numbers' own dtype."""

    kind: torch.dtype
    largest: float

    def bytes(self, dtype: torch.dtype) -> int:
        """Each number, and the scale."""
        return BLOCK * self.kind.itemsize + dtype.itemsize

    def encode(self, numbers: Tensor, coded: Tensor) -> None:
        """``scale = max |x| / largest``, ``q = x / scale``, rounded."""
        q, scale = self._split(coded, numbers.dtype)
        least = torch.finfo(numbers.dtype).tiny  # a block of zeros is divided, too
        low, high = numbers.aminmax(dim=-1, keepdim=True)
        scale.copy_(torch.maximum(high, -low).div_(self.largest).clamp_(min=least))
        q.copy_(self.rounded(numbers / scale))

    def decode(self, coded: Tensor, numbers: Tensor) -> None:
        """``x = scale q``."""
        q, scale = self._split(coded, numbers.dtype)
        numbers.copy_(q).mul_(scale)

    @abstractmethod
    def rounded(self, q: Tensor) -> Tensor:
        """``q`` as ``kind`` can hold it."""

    def _split(self, coded: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        end = BLOCK * self.kind.itemsize
        return coded[..., :end].view(self.kind), coded[..., end:].view(dtype)


class FP16(Scaled):
    """``|decoded - x| <= 2^-11 |x| + 2^-40 max |x|``: 11 significant bits, down to the smallest that fp16 has."""

    kind = torch.float16
    largest = 2.0**15

    def rounded(self, q: Tensor) -> Tensor:
        """The cast rounds."""
        return q


class INT8(Scaled):
    """``|decoded - x| <= max |x| / 254``: half a step of the block's scale."""

    kind = torch.int8
    largest = 127.0

    def rounded(self, q: Tensor) -> Tensor:
        """To whole numbers: the cast would cut them off."""
        return q.round_()
