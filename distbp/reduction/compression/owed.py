"""What is owed of a sum over examples: what has been added to it and not yet sent."""

import torch
from torch import Tensor


class Owed:
    """``owed <- owed count / last count + values``, so that it weighs as much in a mean as when it was kept back.

    A sum over a ragged last batch is divided by fewer examples than the one before it: unscaled, what was kept back of
    that one would count for too much.
    """

    def __init__(self, *shape: int, dtype: torch.dtype, device: torch.device) -> None:
        self.values = torch.zeros(shape, dtype=dtype, device=device)
        self.count = 0.0

    def add(self, values: Tensor, *, count: float) -> None:
        """Add a sum over ``count`` examples, (m), m at most the length of what is owed.   Nothing counts: no scale."""
        if count:
            self.values.mul_(count / (self.count or count))
            self.count = count
        self.values[: values.shape[0]].add_(values)
