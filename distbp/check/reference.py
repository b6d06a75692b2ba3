"""Where the right gradients of a model come from: torch's tape."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

import torch
from torch import Generator, Tensor, nn

from distbp.check.interpreter import Interpreter
from distbp.data.part import Part
from distbp.engines.base import Loss
from distbp.engines.buffers import Buffers
from distbp.precision import FP32, Precision
from distbp.program.sum_loss import SumLoss

Forward = Callable[[Part], tuple[Tensor, Mapping[str, Tensor]]]
"""The loss of a part on the tape, and the changes of buffers, if the buffers themselves do not show them."""


class Taped(NamedTuple):
    """What one part gives: the loss, the gradient of each trainable parameter, and the change of each buffer."""

    loss_sum: Tensor
    gradients: Mapping[str, Tensor]
    changes: Mapping[str, Tensor]


class Reference:
    """A loss of a module's parameters, on torch's tape. The module is left as it was."""

    def __init__(self, module: nn.Module, forward: Forward) -> None:
        self.parameters = {name: p for name, p in module.named_parameters() if p.requires_grad}
        self._buffers = Buffers(module)
        self._forward = forward

    def loss(self, part: Part) -> float:
        """The sum over the part's examples, at the parameters as they are now."""
        before = self._buffers.copy()
        with torch.no_grad():
            loss_sum, _ = self._forward(part)
        self._buffers.restore(before)
        return float(loss_sum)

    def taped(self, part: Part) -> Taped:
        """The loss, and its gradients by the tape."""
        before = self._buffers.copy()
        with torch.enable_grad():
            loss_sum, changes = self._forward(part)
        formed = torch.autograd.grad(loss_sum, [*self.parameters.values()], materialize_grads=True, allow_unused=True)
        dense = (gradient.to_dense() if gradient.is_sparse else gradient for gradient in formed)
        gradients = dict(zip(self.parameters, dense, strict=True))
        return Taped(loss_sum.detach(), gradients, {**changes, **self._buffers.restore(before)})


def of_module(
    module: nn.Module,
    loss: Loss,
    precision: Precision = FP32,
    within: Callable[[], AbstractContextManager[Any]] = nullcontext,
) -> Reference:
    """The module itself under autograd, its forward pass ``within`` a context."""
    whole = SumLoss(module, loss, precision)

    def forward(part: Part) -> tuple[Tensor, Mapping[str, Tensor]]:
        with precision.autocast(part.inputs[0].device), within():
            return whole(part.inputs, part.target)[0], {}

    return Reference(module, forward)


def of_calls(module: nn.Module, twin: Interpreter) -> Reference:
    """The program's own calls, one by one, with the program's own draws."""

    def forward(part: Part) -> tuple[Tensor, Mapping[str, Tensor]]:
        return twin.run(part.leaves(), drawn(part))

    return Reference(module, forward)


def drawn(part: Part) -> Generator:
    """The random numbers of a part, from their beginning."""
    return Generator(part.inputs[0].device).manual_seed(part.draws)
