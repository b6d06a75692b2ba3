"""Schedules: the learning rate's factor as a function of the samples seen, so that batch size does not bend the curve.

A YAML file names one of these functions, and its arguments are the keys. Each begins with a linear warm-up, if it is
told to, and ``t`` and ``T`` are the epochs seen and to be seen after it.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

from distbp.bounds import Fraction, NonNegative, Positive
from distbp.training.rule import Rule

Curve = Callable[[float, float], float]
"""A factor of (epochs seen, epochs in all)."""


class Schedule:
    """``schedule(epochs seen, epochs in all)``: the factor of the learning rate, in [0, 1].

    Epochs are counted in samples, as fractions; what a step has seen is counted to the middle of its batch. One that
    follows a ``curve`` has no state; another may follow what evaluations show.
    """

    rule: Rule | None = None  # of the evaluations that it follows, if it does

    def __init__(self, curve: Curve) -> None:
        self._curve = curve

    def __call__(self, seen: float, total: float) -> float:
        """The factor."""
        return self._curve(seen, total)

    def take(self, metrics: Mapping[str, float]) -> None:
        """An evaluation is done: nothing to a curve."""

    def state(self) -> dict[str, Any]:
        """What a checkpoint holds of it."""
        return {}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a ``state``."""


def constant(*, warmup_epochs: NonNegative = 0.0) -> Schedule:
    """1."""
    return after_warmup(warmup_epochs, lambda _seen, _total: 1.0)


def cosine(*, warmup_epochs: NonNegative = 0.0, final: Fraction = 0.0) -> Schedule:
    """``final + (1 - final) (1 + cos(pi t / T)) / 2`` (Loshchilov and Hutter 2017)."""
    return after_warmup(warmup_epochs, lambda seen, total: eased(1.0, final, seen / total))


def step(*, warmup_epochs: NonNegative = 0.0, every: Positive = 30.0, factor: Fraction = 0.1) -> Schedule:
    """``factor ^ floor(t / every)``: a fall after each ``every`` epochs (He et al. 2015: 0.1, three times)."""
    return after_warmup(warmup_epochs, lambda seen, _total: factor ** math.floor(seen / every))


def linear(*, warmup_epochs: NonNegative = 0.0, final: Fraction = 0.0) -> Schedule:
    """``1 - (1 - final) t / T``."""
    return after_warmup(warmup_epochs, lambda seen, total: 1 - (1 - final) * seen / total)


def inverse_sqrt(*, warmup_epochs: Positive = 1.0) -> Schedule:
    """``sqrt(warmup / (warmup + t))``, which goes on from the warm-up without a bend (Vaswani et al. 2017)."""
    return after_warmup(warmup_epochs, lambda seen, _total: math.sqrt(warmup_epochs / (warmup_epochs + seen)))


def one_cycle(
    *, warmup_epochs: NonNegative = 0.0, rise: Fraction = 0.3, initial: Fraction = 0.04, final: Fraction = 4e-6
) -> Schedule:
    """Up from ``initial`` to 1 in the first share ``rise`` of all epochs, down to ``final`` in the rest, each as half a
    cosine (Smith and Topin 2018; the defaults are those of ``torch.optim.lr_scheduler.OneCycleLR``).
    """

    def factor(seen: float, total: float) -> float:
        progress = min(1.0, seen / total)
        if progress < rise:
            return eased(initial, 1.0, progress / rise)
        return eased(1.0, final, (progress - rise) / (1 - rise))

    return after_warmup(warmup_epochs, factor)


def after_warmup(epochs: float, curve: Curve) -> Schedule:
    """``t / epochs`` for the first ``epochs``, then ``curve`` of what is left."""

    def factor(seen: float, total: float) -> float:
        if seen < epochs:
            return seen / epochs
        rest = max(total - epochs, 1e-12)
        return curve(min(seen - epochs, rest), rest)

    return Schedule(factor)


def eased(begin: float, end: float, progress: float) -> float:
    """From ``begin`` to ``end`` along half a cosine."""
    return end + (begin - end) * (1 + math.cos(math.pi * progress)) / 2
