"""The schedule that follows the evaluations: the learning rate falls where they bring nothing better any more."""

from collections.abc import Mapping
from typing import Any

from distbp.bounds import Fraction, MetricRule, NonNegative, NonNegativeInt
from distbp.training.rule import Rule
from distbp.training.schedules import Schedule, after_warmup
from distbp.training.waiting import Waiting


class Plateau(Schedule):
    """``f <- max(f factor, final)`` after more than ``patience`` evaluations without a better value of ``metric``.

    Better is better by more than the share ``threshold``. After a fall ``cooldown`` evaluations do not count. The rule
    of ``torch.optim.lr_scheduler.ReduceLROnPlateau``, with its thresholds relative; ``f`` is 1 at first, and rises to
    it over the warm-up.
    """

    def __init__(
        self,
        *,
        metric: MetricRule = "min:loss",
        factor: Fraction = 0.1,
        patience: NonNegativeInt = 10,
        threshold: NonNegative = 1e-4,
        cooldown: NonNegativeInt = 0,
        final: Fraction = 0.0,
        warmup_epochs: NonNegative = 0.0,
    ) -> None:
        super().__init__(after_warmup(warmup_epochs, lambda _seen, _total: 1.0))
        self.factor, self.patience, self.cooldown, self.final = factor, patience, cooldown, final
        self.level = 1.0
        self.rule = Rule("schedule.metric", metric)
        self._waiting = Waiting(self.rule, by=threshold)
        self._cooling = 0  # evaluations that do not count

    def __call__(self, seen: float, total: float) -> float:
        """The level that the evaluations have led to."""
        return self.level * super().__call__(seen, total)

    def take(self, metrics: Mapping[str, float]) -> None:
        """Fall, if it is time."""
        self._waiting.take(metrics)
        if self._cooling:
            self._cooling -= 1
            self._waiting.evaluations = 0
        if self._waiting.evaluations > self.patience:
            self.level = max(self.level * self.factor, self.final)
            self._cooling = self.cooldown
            self._waiting.evaluations = 0

    def state(self) -> dict[str, Any]:
        """The level, and what is waited for."""
        return {"level": self.level, "cooling": self._cooling, **self._waiting.state()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a ``state``: with its level; with what was waited for, if it is of the same metric."""
        self.level, self._cooling = float(state.get("level", 1.0)), int(state.get("cooling", 0))
        self._waiting.restore(state)
