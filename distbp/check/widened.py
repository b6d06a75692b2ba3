"""A workload in float64, where a law is sharp."""

import copy
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map

from distbp.data.part import Part
from distbp.engines.base import Loss


def widened(module: nn.Module, loss: Loss, part: Part) -> tuple[nn.Module, Loss, Part]:
    """Copies of all three, whose numbers of floating point are float64."""
    wide = replace(part, inputs=tree_map(double, part.inputs), target=tree_map(double, part.target))
    return copy.deepcopy(module).double(), copy.deepcopy(loss).double() if isinstance(loss, nn.Module) else loss, wide


def double(x: object) -> object:
    """A tensor of floating point as float64; anything else as it is."""
    return x.double() if isinstance(x, Tensor) and x.is_floating_point() else x


def narrow(module: nn.Module) -> bool:
    """Whether the module computes in something rougher than float64."""
    return any(p.is_floating_point() and p.dtype != torch.float64 for p in module.parameters())
