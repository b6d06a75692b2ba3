"""A rule by which evaluations are compared: which metric, and whether more of it is better, or less."""

import math
from collections.abc import Mapping

from distbp.errors import RequestError, nearest


class Rule:
    """``max:accuracy`` or ``min:loss``, say, as ``key`` of the configuration has it."""

    def __init__(self, key: str, text: str) -> None:
        self.key = key
        self.text = text
        self.direction, _, self.name = text.partition(":")

    def value(self, metrics: Mapping[str, float]) -> float:
        """What they say of it. RequestError if there is no such metric."""
        if self.name not in metrics:
            what = f"{self.direction}: and one of {', '.join(metrics)} is allowed"
            raise RequestError(self.key, self.text, what, nearest=nearest(self.name, metrics))
        return metrics[self.name]

    def better(self, value: float, than: float | None, *, by: float = 0.0) -> bool:
        """Whether a value is better than another, by more than this share of it; a number is better than None."""
        if than is None or not math.isfinite(value):
            return math.isfinite(value)
        return value > than * (1 + by) if self.direction == "max" else value < than * (1 - by)
