"""In what numbers a model computes: in those of its parameters, or by the rule of torch.autocast in fewer bits."""

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map

from distbp.errors import RequestError, one_of

DTYPES: Mapping[str, torch.dtype | None] = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}
NARROW = (torch.bfloat16, torch.float16)


@dataclass(frozen=True)
class Precision:
    """``fp32`` casts nothing. Under ``bf16`` and ``fp16`` matrix products, convolutions, attention and recurrent layers
    take their operands in that dtype; losses take float32; everything else takes what comes (Micikevicius et al. 2018).

    Parameters, their gradients and the optimizer's state stay float32.
    """

    name: str = "fp32"

    def __post_init__(self) -> None:
        one_of("precision", self.name, DTYPES)

    @property
    def dtype(self) -> torch.dtype | None:
        """What operands are cast to; None where nothing is cast."""
        return DTYPES[self.name]

    def autocast(self, device: torch.device) -> AbstractContextManager[Any]:
        """Within, ops on ``device`` cast their operands."""
        return nullcontext() if self.dtype is None else torch.autocast(device.type, self.dtype)

    def refuse_unfit(self, module: nn.Module) -> None:
        """RequestError for a layer that torch does not have in this dtype.

        A subclass of nn.LSTM with a ``forward`` of its own is taken to see to its dtype itself.
        """
        on_cpu = any(p.device.type == "cpu" for p in module.parameters())
        plain = any(type(part).forward is nn.LSTM.forward for part in module.modules())
        if on_cpu and plain and not has_lstm(self.name):
            allowed = " or ".join(filter(has_lstm, DTYPES))
            kind = str(self.dtype).removeprefix("torch.")
            raise RequestError("precision", self.name, f"{allowed} is allowed: torch has no {kind} LSTM on this CPU")

    def widened(self, made: Any) -> Any:
        """What a module has made, its tensors of fewer bits in float32: so are sums over examples, and metrics."""
        return made if self.dtype is None else tree_map(_wide, made)


FP32 = Precision()


@cache
def has_lstm(precision: str) -> bool:
    """Whether torch trains an LSTM in this precision on this CPU: on older ones not in bfloat16."""
    x, weight, bias = (torch.zeros(shape) for shape in ((1, 1, 1), (4, 1), (4,)))
    weight.requires_grad_()
    try:
        with Precision(precision).autocast(x.device), torch.enable_grad():
            y, _, _ = torch.lstm(x, (x, x), (weight, weight, bias, bias), True, 1, 0.0, True, False, False)
        torch.autograd.grad(y.sum(), weight)
    except RuntimeError:
        return False
    return True


def _wide(x: Any) -> Any:
    return x.float() if isinstance(x, Tensor) and x.dtype in NARROW else x
