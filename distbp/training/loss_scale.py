"""The loss scale: what the loss is multiplied by, so that its small gradients do not vanish in float16."""

import math
from collections.abc import Mapping
from typing import Any

import torch

from distbp.engines.base import Engine

FIRST = 2.0**16
INTERVAL = 2_000  # good steps, one after the other, after which it doubles
LEAST = 2.0**-14  # float16's least normal number: a gradient of 1 would be less than that
MOST = 2.0**24  # brings float16's least number of all up to 1


class LossScale:
    """``S <- 2 S`` after 2,000 good steps, ``S <- S / 2`` after one whose gradients overflow (Micikevicius et al. 2018)

    The rule and the numbers are those of torch.amp.GradScaler, within bounds. They are meant for a mean loss, and ours
    is a sum over about ``examples``: an ``engine`` begins its backward pass with S over the next power of two. So its
    scale is a power of two as well, which changes no bit of what neither vanishes nor overflows. S is 1 for good where
    the engine does not compute in float16.
    """

    def __init__(self, engine: Engine, *, examples: int) -> None:
        self.used = engine.precision.dtype is torch.float16
        self.good = 0  # steps since it changed
        self._engine = engine
        self._examples = 2.0 ** math.ceil(math.log2(examples))
        self._set(FIRST if self.used else self._examples)

    @property
    def value(self) -> float:
        """S."""
        return self._engine.scale * self._examples if self.used else 1.0

    def grow(self) -> None:
        """A good step is done."""
        self.good += self.used
        if self.good == INTERVAL:
            self._set(min(2 * self.value, MOST))

    def back_off(self) -> bool:
        """A step's loss is a number and its gradients are not: whether a smaller scale may help, which it then is."""
        if not self.used or self.value == LEAST:
            return False
        self._set(self.value / 2)
        return True

    def __str__(self) -> str:
        return f"a gradient is too large for float16: the loss scale is {self.value:g} now"

    def state(self) -> dict[str, Any]:
        """What a checkpoint holds of it."""
        return {"value": self.value, "good": self.good} if self.used else {}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a ``state``, if there is one and it is of use here."""
        if state and self.used:
            self._set(min(max(state["value"], LEAST), MOST))
            self.good = state["good"]

    def _set(self, value: float) -> None:
        self.good, self._engine.scale = 0, value / self._examples
