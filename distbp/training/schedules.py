"""Schedules: the learning rate's factor as a function of the samples seen, so that batch size does not bend the curve.

A YAML file names one of these functions, and its arguments are the keys.
"""

import math
from collections.abc import Callable

from distbp.bounds import Fraction, NonNegative

Schedule = Callable[[float, float], float]
"""``schedule(epochs seen, epochs in all)``: the factor of the learning rate, in [0, 1].

Epochs are counted in samples, as fractions; what a step has seen is counted to the middle of its batch.
"""


def constant(*, warmup_epochs: NonNegative = 0.0) -> Schedule:
    """``min(1, t / warmup)``."""
    return lambda seen, _total: warmup(seen, warmup_epochs)


def cosine(*, warmup_epochs: NonNegative = 0.0, final: Fraction = 0.0) -> Schedule:
    """``final + (1 - final) (1 + cos(pi t / T)) / 2``, after a linear warm-up (Loshchilov and Hutter 2017)."""

    def factor(seen: float, total: float) -> float:
        if seen < warmup_epochs:
            return warmup(seen, warmup_epochs)
        progress = min(1.0, (seen - warmup_epochs) / max(total - warmup_epochs, 1e-12))
        return final + (1 - final) * (1 + math.cos(math.pi * progress)) / 2

    return factor


def warmup(seen: float, epochs: float) -> float:
    """``min(1, t / epochs)``: linear from nothing to the full rate."""
    return min(1.0, seen / epochs) if epochs > 0 else 1.0
