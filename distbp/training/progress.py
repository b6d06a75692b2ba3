"""What the evaluations of a run decide: which checkpoint is the best, whether the rate falls, whether it ends early."""

from collections.abc import Mapping
from typing import Any

from distbp.errors import RequestError
from distbp.training.best import Best
from distbp.training.patience import Patience
from distbp.training.rule import Rule
from distbp.training.schedules import Schedule


class Progress:
    """Tells each evaluation to those who decide, all of which see the same numbers on every worker.

    One counts once: a run that goes on from a checkpoint which was saved after an evaluation does it again, to show it.
    """

    def __init__(self, best: Best, patience: Patience, schedule: Schedule) -> None:
        self.best = best
        self.patience = patience
        self.schedule = schedule
        self.evaluated = -1  # steps done at the last one that counted

    @property
    def rules(self) -> list[Rule]:
        """The rules by which they decide."""
        return [rule for rule in (self.best.rule, self.patience.rule, self.schedule.rule) if rule]

    def take(self, metrics: Mapping[str, float], *, step: int) -> bool:
        """After ``step`` steps; whether they are the best yet. RequestError if a metric is not among them."""
        if step > self.evaluated:
            self.evaluated = step
            self.patience.take(metrics)
            self.schedule.take(metrics)
        return self.best.take(metrics, step=step)

    def state(self) -> dict[str, Any]:
        """What a checkpoint holds of it, besides the best."""
        return {"evaluated": self.evaluated, "patience": self.patience.state(), "schedule": self.schedule.state()}

    def restore(self, state: Mapping[str, Any], *, same_split: bool) -> None:
        """Go on from a ``state``; of another split's figures with what they have led to. RequestError if it is none."""
        try:
            schedule = dict(state.get("schedule", {}))
            if same_split:
                self.evaluated = int(state.get("evaluated", -1))
                self.patience.restore(state.get("patience", {}))
            else:
                schedule.pop("of", None)
            self.schedule.restore(schedule)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise RequestError("resume", "progress", f"what it says of evaluations cannot be read ({error})") from error
