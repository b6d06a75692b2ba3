"""Optimizers that need shapes: they work on whole parameters, not on slices of flat buffers.

The parameters are views into the flat buffers all the same. Their state is saved by parameter name, as it is.
"""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor
from torch.optim import Optimizer

from distbp.bounds import NonNegative, Positive
from distbp.training.optimizers import Parameters

Power = Annotated[float, Field(ge=-1, le=0, allow_inf_nan=False)]
STEP = torch.tensor(0.0)  # the number of steps, on the CPU whatever the device
Threshold = Annotated[float, Field(ge=1, allow_inf_nan=False)]


class Shaped(Optimizer):
    """An optimizer whose rule for a number looks at the parameter that it belongs to."""

    @abstractmethod
    def shapes(self, parameter: Tensor) -> dict[str, torch.Size]:
        """What state it has of a parameter, by kind."""


class Adafactor(torch.optim.Adafactor, Shaped):
    """Shazeer and Stern 2018: ``w <- w - a u / max(1, rms(u) / clip)``, ``u = g / sqrt(v)``, of ``t`` steps.

    ``a = max(least, rms(w)) min(lr, 1 / sqrt(t))``; ``v`` is a running mean of ``g^2`` that keeps ``1 - t^decay``, of
    a matrix the outer product of the means of its rows and its columns, divided by the mean of all.
    """

    def __init__(
        self,
        parameters: Parameters,
        *,
        lr: Positive,
        decay: Power = -0.8,
        least: Positive = 1e-3,
        clip: Threshold = 1.0,
        weight_decay: NonNegative = 0.0,
    ) -> None:
        how: dict[str, Any] = {"lr": lr, "beta2_decay": decay, "eps": (None, least), "d": clip}
        super().__init__(parameters, **how, weight_decay=weight_decay, foreach=False)

    def shapes(self, parameter: Tensor) -> dict[str, torch.Size]:
        """The number of steps; of a matrix a column and a row, of anything else all squares."""
        if parameter.dim() < 2:
            return {"step": torch.Size(), "variance": parameter.shape}
        *outer, high, wide = parameter.shape
        rows, columns = torch.Size([*outer, high, 1]), torch.Size([*outer, 1, wide])
        return {"step": torch.Size(), "row_var": rows, "col_var": columns}


def shaped_by_name(optimizer: Shaped, views: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The state's tensors by kind and parameter, ``"row_var/fc.weight"``; they hold until the next step."""
    return {f"{kind}/{name}": value for name, view in views.items() for kind, value in optimizer.state[view].items()}


def restore_shaped(state: Mapping[str, Tensor], optimizer: Shaped, views: Mapping[str, Tensor]) -> None:
    """Put a state from ``shaped_by_name`` into the optimizer of these parameters; what else there is, is another's.

    KeyError or RuntimeError if it does not fit them.
    """
    if not any(key.startswith("step/") for key in state):
        return  # no step has been done yet
    for name, view in views.items():
        for kind, shape in optimizer.shapes(view).items():
            value = state[f"{kind}/{name}"]
            if value.shape != shape:
                raise RuntimeError(f"{kind}/{name} has shape {[*value.shape]}, not {[*shape]}")
            like = STEP if kind == "step" else view
            optimizer.state[view][kind] = value.to(like, copy=True)
