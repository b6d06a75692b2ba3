"""A workload in float64, where a law is sharp."""

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_map, tree_map_only

from distbp.data.part import Part
from distbp.engines.base import Loss
from distbp.precision import NARROW

NARROWER = (torch.float32, *NARROW)


def widened(module: nn.Module, loss: Loss, part: Part) -> tuple[nn.Module, Loss, Part]:
    """Copies of all three, whose numbers of floating point are float64."""
    wide = replace(part, inputs=tree_map(double, part.inputs), target=tree_map(double, part.target))
    return copy.deepcopy(module).double(), copy.deepcopy(loss).double() if isinstance(loss, nn.Module) else loss, wide


def double(x: object) -> object:
    """A tensor of floating point as float64; anything else as it is."""
    return x.double() if isinstance(x, Tensor) and x.is_floating_point() else x


class _Wider(TorchFunctionMode):
    """Asks torch for float64 where it is asked for fewer bits."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Call ``func``, with float64 in the place of fewer bits."""
        wider: Callable[[Any], Any] = lambda x: torch.float64 if x in NARROWER else x  # noqa: E731
        func = Tensor.double if func in (Tensor.float, Tensor.half, Tensor.bfloat16) else func
        args, kwargs = tree_map_only(torch.dtype, wider, (args, kwargs or {}))
        return func(*args, **kwargs)


@contextmanager
def in_float64() -> Iterator[None]:
    """Within it what asks for fewer bits gets float64: ``x.float()``, ``torch.zeros(n, dtype=torch.float32)``, and what
    torch makes in its default dtype.
    """
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        with _Wider():
            yield
    finally:
        torch.set_default_dtype(before)


def narrow(module: nn.Module) -> bool:
    """Whether the module computes in something rougher than float64."""
    return any(p.is_floating_point() and p.dtype != torch.float64 for p in module.parameters())
