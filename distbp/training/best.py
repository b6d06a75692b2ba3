"""The best value of a metric so far, and the step whose checkpoint has it, which is kept besides the newest."""

from collections.abc import Mapping
from typing import Any

from distbp.training.rule import Rule


class Best:
    """Of ``rule``, which is ``max:accuracy`` or ``min:loss``, say; of nothing where it is None."""

    def __init__(self, rule: str | None) -> None:
        self.rule = Rule("checkpoint.best", rule) if rule else None
        self._held: dict[str, Any] = {}  # of which rule, step and value; after a break perhaps of another rule

    def take(self, metrics: Mapping[str, float], *, step: int) -> bool:
        """Whether those of ``step`` are the best yet, the first of equals. RequestError if there is no such metric."""
        if self.rule is None:
            return False
        value = self.rule.value(metrics)
        best = self._held["value"] if self._held.get("of") == self.rule.text else None
        if better := self.rule.better(value, best):
            self._held = {"of": self.rule.text, "step": step, "value": value}
        return better

    def begin_anew(self) -> None:
        """Forget it: its checkpoint is not at hand."""
        self._held = {}

    @property
    def kept(self) -> int | None:
        """The step whose checkpoint is kept."""
        return self._held.get("step")

    def state(self) -> dict[str, Any]:
        """What a checkpoint holds of it."""
        return self._held

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a ``state``. One of another rule says only which checkpoint is kept until this one has a best."""
        self._held = {"of": state["of"], "step": int(state["step"]), "value": float(state["value"])} if state else {}
