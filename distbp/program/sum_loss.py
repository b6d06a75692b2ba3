"""A module and its loss as one module, whose loss is a sum over the examples."""

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from distbp.errors import RequestError
from distbp.precision import FP32, Precision


class SumLoss(nn.Module):
    """``forward(inputs, target, state) -> (loss_sum, count, output, state)``.

    A loss that returns a mean counts the examples, and its sum is the mean times their number: whatever the parts are
    that a batch is cut into, the gradients of the sums add up.

    A module that carries a state takes its tensors as further inputs and returns ``(output, state)``; the loss is of
    the output. Where no state is given the module has none, and what it returns is the output.

    What the module returns in the fewer bits of ``precision`` is given to the loss, and carried on, in float32.
    """

    def __init__(self, module: nn.Module, loss: Callable[[Any, Any], Any], precision: Precision = FP32) -> None:
        super().__init__()
        self.module = module
        self.loss = loss
        self.precision = precision

    def forward(
        self, inputs: tuple[Tensor, ...], target: Any, state: tuple[Tensor, ...] = ()
    ) -> tuple[Tensor, int | Tensor, Any, tuple[Tensor, ...]]:
        """The loss of one part, summed; what the sum is later divided by; the module's output; and its new state.

        Raises RequestError if the loss is not one number, or the new state has other shapes than the old one.
        """
        output = self.precision.widened(self.module(*inputs, *state))
        output, after = _parted(output, state) if state else (output, ())
        loss = self.loss(output, target)
        loss_sum, count = loss if isinstance(loss, tuple) else _summed(loss, inputs, target)
        loss_sum = self.precision.widened(loss_sum)
        if loss_sum.dim():
            raise RequestError("loss", tuple(loss_sum.shape), "a sum over the examples, of shape (), or a mean")
        return loss_sum, count, output, after


def _parted(returned: Any, state: tuple[Tensor, ...]) -> tuple[Any, tuple[Tensor, ...]]:
    """The output and the new state of a module that carries one."""
    match returned:
        case (output, (*after,)) if list(map(_look, after)) == list(map(_look, state)):
            return output, tuple(after)
    looks = ", ".join(f"{tuple(tensor.shape)} of {tensor.dtype}" for tensor in state)
    allowed = f"a module that is given a state returns (output, state), its tensors as they were given: {looks}"
    raise RequestError("state", type(returned).__name__, allowed)


def _look(tensor: Any) -> Any:
    return (tensor.shape, tensor.dtype) if isinstance(tensor, Tensor) else None


def _summed(mean: Tensor, inputs: tuple[Tensor, ...], target: Any) -> tuple[Tensor, int]:
    examples = target.shape[0] if isinstance(target, Tensor) and target.dim() else inputs[0].shape[0]
    return mean * examples, examples
