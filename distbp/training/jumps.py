"""Where the loss jumps: a step whose loss is far above its running mean."""

import math
import sys
from collections.abc import Mapping
from typing import Any, NamedTuple

WARM_UP = 20  # steps that are looked at before any is said to jump
KEPT = 0.98  # share of the running mean and variance that a step keeps, once there are enough
DEVIATIONS = 6.0  # of the running standard deviation
SHARE = 0.1  # of the first loss
MOST = sys.float_info.max / 2  # of a square: an infinite one would leave a variance that is no number


class Jump(NamedTuple):
    """A loss, and its running mean before."""

    loss: float
    mean: float


class Jumps:
    """A loss jumps if it exceeds its running mean by more than each of: the mean itself, six running standard
    deviations, and a tenth of the first loss, below which the noise of a loss near zero lies.

    Mean and variance are exponentially weighted (West 1979, Finch 2009), and plain ones over the first steps.
    """

    def __init__(self) -> None:
        self._seen = 0
        self._first = self._mean = self._variance = 0.0
        self._high = False  # the step before was as high: it has been told

    def take(self, loss: float) -> Jump | None:
        """The jump of the next step's loss, the first of those that follow each other."""
        excess = loss - self._mean
        bound = max(abs(self._mean), DEVIATIONS * math.sqrt(self._variance), SHARE * abs(self._first))
        high = self._seen >= WARM_UP and excess > bound
        jump = Jump(loss, self._mean) if high and not self._high else None
        self._first = self._first if self._seen else loss
        self._seen, self._high = self._seen + 1, high
        weight = max(1 / self._seen, 1 - KEPT)
        self._mean += weight * excess
        self._variance = (1 - weight) * (self._variance + weight * min(excess * excess, MOST))
        return jump

    def state(self) -> dict[str, Any]:
        """What a checkpoint holds of it."""
        return {
            "seen": self._seen,
            "first": self._first,
            "mean": self._mean,
            "variance": self._variance,
            "high": self._high,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a ``state``; from none, begin anew."""
        if state:
            self._seen, self._high = int(state["seen"]), bool(state["high"])
            self._first, self._mean, self._variance = (float(state[key]) for key in ("first", "mean", "variance"))
