"""The best value of a metric so far, and the step whose checkpoint has it, which is kept besides the newest."""

from collections.abc import Mapping
from typing import Any

from distbp.training.rule import Rule


class Best:
    """Of ``rule``, which is ``max:accuracy`` or ``min:loss``, say; of nothing where it is None."""

    def __init__(self, rule: str | None) -> None:
        self.rule = Rule("checkpoint.best", rule) if rule else None
        self.step: int | None = None
        self.value: float | None = None
        self._former: dict[str, Any] = {}  # of another rule, before a break: kept until there is a new best

    def take(self, metrics: Mapping[str, float], *, step: int) -> bool:
        """Whether those of ``step`` are the best yet, the first of equals. RequestError if there is no such metric."""
        if self.rule is None:
            return False
        value = self.rule.value(metrics)
        if better := self.rule.better(value, self.value):
            self.step, self.value = step, value
        return better

    def begin_anew(self) -> None:
        """Forget it: its checkpoint is not at hand."""
        self.step = self.value = None
        self._former = {}

    @property
    def kept(self) -> int | None:
        """The step whose checkpoint is kept."""
        return self.state().get("step")

    def state(self) -> dict[str, Any]:
        """What a checkpoint holds of it."""
        if self.rule is None or self.step is None:
            return self._former
        return {"of": self.rule.text, "step": self.step, "value": self.value}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a ``state``. One of another rule says only which checkpoint is kept until this one has a best."""
        if state and self.rule and state["of"] == self.rule.text:
            self.step, self.value = int(state["step"]), float(state["value"])
        else:
            self._former = dict(state)
