"""Early stopping: a training whose evaluations bring nothing better any more ends."""

from collections.abc import Mapping
from typing import Any

from distbp.training.rule import Rule
from distbp.training.waiting import Waiting


class Patience:
    """With so many ``evaluations`` one after the other without a better value, by ``rule``; None: for ever."""

    def __init__(self, evaluations: int | None, rule: str) -> None:
        self.evaluations = evaluations
        self._waiting = Waiting(Rule("stop_early.metric", rule))

    @property
    def rule(self) -> Rule | None:
        """What is looked at, if anything is."""
        return self._waiting.rule if self.evaluations is not None else None

    @property
    def over(self) -> str:
        """Why the training ends; empty: it goes on."""
        if self.evaluations is None or self._waiting.evaluations < self.evaluations:
            return ""
        return f"no better {self._waiting.rule.name} for {self._waiting.evaluations} evaluations"

    def take(self, metrics: Mapping[str, float]) -> None:
        """An evaluation is done."""
        if self.evaluations is not None:
            self._waiting.take(metrics)

    def state(self) -> dict[str, Any]:
        """What a checkpoint holds of it."""
        return self._waiting.state() if self.evaluations is not None else {}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a ``state``, if it is of the same rule."""
        self._waiting.restore(state)
