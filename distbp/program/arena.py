"""The memory in which the results of programs lie, kept from step to step."""

from typing import Protocol
from weakref import WeakSet

import torch
from torch import Tensor


class Lodger(Protocol):
    """What is bound to the memory of an arena."""

    def unbind(self) -> None:
        """Let go of it."""


class Arena:
    """Memory that the programs of one engine use in turn, as large as the largest of them needs: nothing in it lasts
    from one run to the next, so each further shape of a batch takes no memory of its own.
    """

    def __init__(self) -> None:
        self.memory = torch.empty(0, dtype=torch.uint8)
        self._lodgers: WeakSet[Lodger] = WeakSet()

    def admit(self, lodger: Lodger) -> None:
        """``lodger`` is told when the memory is replaced by a larger one, or by one of another device."""
        self._lodgers.add(lodger)

    def room(self, size: int, device: torch.device) -> Tensor:
        """``size`` bytes, or more."""
        if self.memory.nbytes < size or self.memory.device != device:
            for lodger in self._lodgers:
                lodger.unbind()
            self.memory = torch.empty(0, dtype=torch.uint8)  # the old one goes before the new one comes
            self.memory = torch.empty(size, dtype=torch.uint8, device=device)
        return self.memory
