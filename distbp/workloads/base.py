"""What a workload is: a module, its loss, its metrics and its data. It does not know how many workers there are."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from distbp.data.part import State
from distbp.data.split import Split
from distbp.engines.base import Loss, Metrics

Scores = Callable[[Any, Any], Tensor]
"""``scores(output, target)``: what the metrics must know of each example, (N, k)."""

Start = Callable[[Any, int], State]
"""``start(module, n)``: what the module carries from segment to segment of n samples, before the first."""

Summary = Callable[[Mapping[str, float], Tensor], Mapping[str, float]]
"""``summary(means, scores)``: the metrics of a split, from the means of the loss and of the sums, and the scores of all
its examples in order, (n, k) float64: empty where the workload has none."""


def means_alone(means: Mapping[str, float], _scores: Tensor) -> Mapping[str, float]:
    """The means as they are."""
    return means


def nothing(_module: nn.Module, _samples: int) -> State:
    """What most modules carry."""
    return ()


@dataclass(frozen=True)
class Workload:
    """Everything that a job trains. ``training`` may be augmented; ``splits`` are what is evaluated, by name.

    A metric that is no mean over the examples is made by ``summary``: of a mean (a perplexity), or of ``scores`` of
    all examples, which are then gathered from the workers (the area under a curve). A module that carries a state from
    one segment of its samples to the next says with ``start`` what that is before the first.
    """

    module: nn.Module
    loss: Loss
    metrics: Metrics
    training: Split
    splits: Mapping[str, Split]
    scores: Scores | None = None
    summary: Summary = means_alone
    min_part: int = 1  # the fewest samples that a part may have (2 with batch norm)
    start: Start = nothing
    sample: Callable[[], str] = str  # something to read that the trained module makes: a text
    names: Sequence[Sequence[Any]] = ()  # what the numbers stand for that the data gave to words, classes or ids

    def begin(self, samples: int) -> State:
        """The state of so many samples before their first segment; () where the module carries none."""
        return self.start(self.module, samples)
