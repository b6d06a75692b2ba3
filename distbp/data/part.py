"""One part of a global batch: the unit of work, and one leaf of the tree of sums."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor


@dataclass(frozen=True)
class Part:
    """The samples of one part, in one tensor each, with the number that seeds its random draws.

    ``index`` is the part's leaf in the tree; ``draws`` is keyed by (seed, step, part), never by the rank.
    """

    index: int
    inputs: tuple[Tensor, ...]
    target: Any  # a tensor, or whatever the loss takes
    draws: int
