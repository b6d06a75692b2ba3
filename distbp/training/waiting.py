"""Evaluations that have brought nothing better: how many there have been, one after the other."""

from collections.abc import Mapping
from typing import Any

from distbp.training.rule import Rule


class Waiting:
    """For a value that is better, by more than the share ``by``, than the ``best`` so far, by a rule.

    ``evaluations`` counts those since then.
    """

    def __init__(self, rule: Rule, *, by: float = 0.0) -> None:
        self.rule = rule
        self.by = by
        self.best: float | None = None
        self.evaluations = 0

    def take(self, metrics: Mapping[str, float]) -> None:
        """One more. RequestError if there is no such metric."""
        value = self.rule.value(metrics)
        better = self.rule.better(value, self.best, by=self.by)
        self.best = value if better else self.best
        self.evaluations = 0 if better else self.evaluations + 1

    def state(self) -> dict[str, Any]:
        """What a checkpoint holds of it."""
        return {"of": self.rule.text, "best": self.best, "evaluations": self.evaluations}

    def restore(self, state: Mapping[str, Any]) -> bool:
        """Go on from a ``state``, if it is of the same rule: whether it is."""
        if same := state.get("of") == self.rule.text:
            self.best = None if state["best"] is None else float(state["best"])
            self.evaluations = int(state["evaluations"])
        return same
