"""Layers whose weights a workload draws itself: torch's own draws are never made, and no generator is moved."""

from typing import TypeVar

import torch
from torch import nn

Layer = TypeVar("Layer", bound=nn.Module)


def undrawn(layer: Layer) -> Layer:
    """A layer that was made on the meta device, now with parameters in memory: whatever lies there.

    ``Module.to_empty`` does so for any module, and loads torch's symbolic shapes for it, as long as a small model takes
    to be made.
    """
    for name, parameter in [*layer.named_parameters(recurse=False)]:
        setattr(layer, name, nn.Parameter(torch.empty(parameter.shape, dtype=parameter.dtype)))
    return layer
