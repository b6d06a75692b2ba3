"""What every compressor does: from what the parts would send to a sum of less, and what each part keeps back.

N workers (``size``), P parts of a batch, K of them this worker's, n elements of a bucket.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from distbp.alignment import round_up
from distbp.comm.base import Communicator, Name
from distbp.reduction.compression.contents import Contents
from distbp.reduction.compression.parts import Parts

BLOCK = 1024  # elements; what is kept back is a whole number of blocks for every worker's share


class Compressor(ABC):
    """Compresses one bucket. It remembers from step to step what its method needs."""

    def __init__(self, contents: Contents, comm: Communicator) -> None:
        self.contents = contents
        self.padded = round_up(contents.length, BLOCK * comm.size)

    @abstractmethod
    def sum(self, owed: Sequence[Tensor], total: Tensor, parts: Parts, *, count: float, name: Name) -> float:
        """Leave the sum of what all parts send in ``total``, (n), on every worker, with the same bits.

        ``owed``, (padded) each, zero from n on, is what each of this worker's parts should send: its gradient and what
        it kept back before. What it keeps back now is left there. ``count`` is what the sum will be divided by. Returns
        the squared norm of what this worker keeps back beside. Collective.
        """

    def state(self, comm: Communicator, *, name: Name) -> dict[str, Tensor]:  # noqa: ARG002 - most have none
        """What it remembers besides what parts owe, by name. Collective."""
        return {}

    def restore(self, state: Mapping[str, Tensor]) -> None:  # noqa: B027 - most have none
        """Go on from a saved ``state``, on whatever number of workers."""


Make = Callable[[Contents, Communicator], Compressor]
"""What makes the compressor of a bucket."""


def squared_norm(tensors: Sequence[Tensor]) -> float:
    """The sum of the squares of all elements."""
    return math.fsum(float(torch.linalg.vector_norm(tensor)) ** 2 for tensor in tensors)
