"""What an engine does with a part that has no samples."""

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from distbp.data.part import Part, State
from distbp.engines.base import Destination, Outcome


def is_empty(part: Part) -> bool:
    """Whether the part has no samples."""
    return part.inputs[0].shape[0] == 0


def leave_zeros(
    emissions: Iterable[str], destination: Destination, metric_sums: Mapping[str, Tensor], state: State
) -> Outcome:
    """Zeros, and the state as it was. ``metric_sums`` are an earlier part's: they tell the names."""
    for name in emissions:
        if not destination.add:
            destination.gradients[name].zero_()
        destination.complete(name)
    zeros = {name: torch.zeros_like(value) for name, value in metric_sums.items()}
    return Outcome(torch.zeros(()), 0, zeros, state=state)
