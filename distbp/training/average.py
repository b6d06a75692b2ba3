"""A running average of the weights, with which a run is evaluated."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from distbp.training.flat_state import AVERAGE, gathered, named
from distbp.training.weights import Weights


class Average:
    """``a <- decay a + (1 - decay) w`` after each step, from the initial weights on (Polyak and Juditsky 1992).

    Each worker averages the shares that it updates. With a ``decay`` of None there is no average, and the weights
    themselves are shown.
    """

    def __init__(self, decay: float | None, weights: Weights) -> None:
        self.decay = decay
        self._weights = weights
        self._values = [share.clone() for share in weights.shares] if decay is not None else []

    def move(self) -> None:
        """The weights have been updated."""
        if self.decay is not None and self._values:
            torch._foreach_lerp_(self._values, self._weights.shares, 1 - self.decay)

    @contextmanager
    def shown(self, *, step: int) -> Iterator[None]:
        """Within, the module has the averages in the place of the weights. Collective, at both ends."""
        if self.decay is None:
            yield
            return
        kept = [share.clone() for share in self._weights.shares]
        self._put(self._values, step)
        try:
            yield
        finally:
            self._put(kept, step)

    def by_name(self, *, step: int) -> dict[str, Tensor]:
        """The averages as a checkpoint names them. Collective."""
        return named(AVERAGE, self._values, self._weights, step=step) if self.decay is not None else {}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Go on from the averages of a checkpoint; where it has none, from its weights."""
        if self.decay is not None:
            there = any(key.startswith(f"{AVERAGE}/") for key in state)
            values = gathered(state, AVERAGE, self._weights) if there else self._weights.shares
            self._values = [
                value.to(share.device, copy=True) for value, share in zip(values, self._weights.shares, strict=True)
            ]

    def _put(self, values: list[Tensor], step: int) -> None:
        for share, value in zip(self._weights.shares, values, strict=True):
            share.copy_(value)
        self._weights.spread(step=step)


@torch.no_grad()
def show(module: nn.Module, state: Mapping[str, Tensor]) -> None:
    """The averages among a checkpoint's ``state``, if there are any, into the parameters of the module."""
    for name, parameter in module.named_parameters():
        if (value := state.get(f"{AVERAGE}/{name}")) is not None:
            parameter.copy_(value)
