"""A module and its loss as one module, whose loss is a sum over the examples."""

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from distbp.errors import RequestError


class SumLoss(nn.Module):
    """``forward(inputs, target) -> (loss_sum, count, output)``.

    A loss that returns a mean counts the examples, and its sum is the mean times their number: whatever the parts are
    that a batch is cut into, the gradients of the sums add up.
    """

    def __init__(self, module: nn.Module, loss: Callable[[Any, Any], Any]) -> None:
        super().__init__()
        self.module = module
        self.loss = loss

    def forward(self, inputs: tuple[Tensor, ...], target: Any) -> tuple[Tensor, int | Tensor, Any]:
        """The loss of one part, summed; what the sum is later divided by; and the module's output.

        Raises RequestError if the loss is not one number.
        """
        output = self.module(*inputs)
        loss = self.loss(output, target)
        loss_sum, count = loss if isinstance(loss, tuple) else _summed(loss, inputs, target)
        if loss_sum.dim():
            raise RequestError("loss", tuple(loss_sum.shape), "a sum over the examples, of shape (), or a mean")
        return loss_sum, count, output


def _summed(mean: Tensor, inputs: tuple[Tensor, ...], target: Any) -> tuple[Tensor, int]:
    examples = target.shape[0] if isinstance(target, Tensor) and target.dim() else inputs[0].shape[0]
    return mean * examples, examples
