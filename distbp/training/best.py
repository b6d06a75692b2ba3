"""The best value of a metric so far, and the step whose checkpoint has it, which is kept besides the newest."""

import math
from collections.abc import Mapping
from typing import Any

from distbp.errors import RequestError, nearest


class Best:
    """Of ``rule``, which is ``max:accuracy`` or ``min:loss``, say; of nothing where it is None."""

    def __init__(self, rule: str | None) -> None:
        self.rule = rule
        self.step: int | None = None
        self.value = 0.0

    def take(self, metrics: Mapping[str, float], *, step: int) -> bool:
        """Whether those of ``step`` are the best yet, the first of equals. RequestError if there is no such metric."""
        if self.rule is None:
            return False
        direction, _, name = self.rule.partition(":")
        if name not in metrics:
            what = f"{direction}: and one of {', '.join(metrics)} is allowed"
            raise RequestError("checkpoint.best", self.rule, what, nearest=nearest(name, metrics))
        value = metrics[name]
        better = self.step is None or (value > self.value if direction == "max" else value < self.value)
        if not (better and math.isfinite(value)):
            return False
        self.step, self.value = step, value
        return True

    def state(self) -> dict[str, Any]:
        """What a checkpoint holds of it."""
        return {} if self.step is None else {"of": self.rule, "step": self.step, "value": self.value}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a ``state``, if it is of the same rule."""
        if state and state["of"] == self.rule:
            self.step, self.value = int(state["step"]), float(state["value"])
