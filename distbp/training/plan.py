"""What a training is told: how far it goes, and what it does on the way."""

from dataclasses import dataclass, field
from typing import Any, Literal

from distbp.training.clip import Clip


@dataclass(frozen=True)
class Plan:
    """How far to train, and what to do on the way."""

    epochs: int
    steps: int | None  # stops earlier
    lr: float
    batch_size: int
    evaluate_every: int | Literal["never"]  # epochs
    checkpoint_every: int | None  # steps
    keep: int
    config: dict[str, Any] = field(default_factory=dict)  # what was asked for, as a checkpoint tells it
    data: dict[str, Any] = field(default_factory=dict)  # what it is trained on, as ``trained_on`` tells it
    clip: Clip = field(default_factory=Clip)
    best: str | None = None  # the rule by which one more checkpoint is kept
    patience: int | None = None  # evaluations without a better value, after which the training ends
    patience_of: str = "min:loss"  # the rule of what is better
    average: float | None = None  # decay of the average of the weights
    nonfinite: Literal["stop", "skip"] = "stop"  # a step whose gradients are not numbers
    looks_every: int | None = None  # steps
