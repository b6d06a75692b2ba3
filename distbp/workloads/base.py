"""What a workload is: a module, its loss, its metrics and its data. It does not know how many workers there are."""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import nn

from distbp.data.split import Split
from distbp.engines.base import Loss, Metrics


@dataclass(frozen=True)
class Workload:
    """Everything that a job trains. ``training`` may be augmented; ``splits`` are what is evaluated, by name."""

    module: nn.Module
    loss: Loss
    metrics: Metrics
    training: Split
    splits: Mapping[str, Split]
    min_part: int = 1  # the fewest samples that a part may have (2 with batch norm)
