"""A module and its loss as one module, whose loss is a sum over the examples."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from distbp.errors import RequestError
from distbp.precision import FP32, Precision


class SumLoss(nn.Module):
    """``forward(inputs, target, state) -> (loss_sum, count, output, state)``.

    A loss that returns a mean counts the examples, and its sum is the mean times their number: whatever the parts are
    that a batch is cut into, the gradients of the sums add up. Those of torch which leave targets out, or weigh them,
    count what they divide by.

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
        loss_sum, count = summed(self.loss, output, inputs, target)
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


def summed(loss: Any, output: Any, inputs: tuple[Tensor, ...], target: Any) -> tuple[Tensor, int | Tensor]:
    """The sum of a loss, and its count: it returns both, or a mean over the examples."""
    if classes := of_classes(loss, target):
        return classes(output, target)
    found = loss(output, target)
    if isinstance(found, tuple):
        loss_sum, count = found
        return loss_sum, count
    examples = target.shape[0] if isinstance(target, Tensor) and target.dim() else inputs[0].shape[0]
    return found * examples, examples


def counted(loss: Any, target: Any, count: int | Tensor) -> int | Tensor:
    """What sums of metrics are divided by: where the loss weighs classes, the targets that count; else its count."""
    if type(loss) in (nn.CrossEntropyLoss, nn.NLLLoss) and loss.weight is not None and of_classes(loss, target):
        kept: Tensor = target != loss.ignore_index
        return kept.sum()
    return count


def of_classes(loss: Any, target: Any) -> Callable[[Tensor, Tensor], tuple[Tensor, Tensor]] | None:
    """Sum and count of torch's cross entropy, or negative log likelihood, of numbered classes; None: it is another."""
    if not isinstance(target, Tensor) or target.is_floating_point():
        return None
    if loss in (F.cross_entropy, F.nll_loss):
        return partial(_weighed, loss, None, -100)
    if type(loss) is nn.CrossEntropyLoss and loss.reduction == "mean":
        entropy = partial(F.cross_entropy, label_smoothing=loss.label_smoothing)
        return partial(_weighed, entropy, loss.weight, loss.ignore_index)
    if type(loss) is nn.NLLLoss and loss.reduction == "mean":
        return partial(_weighed, F.nll_loss, loss.weight, loss.ignore_index)
    return None


def _weighed(
    loss: Callable[..., Tensor], weight: Tensor | None, ignored: int, output: Tensor, target: Tensor
) -> tuple[Tensor, Tensor]:
    kept = target != ignored
    loss_sum = loss(output, target, weight, ignore_index=ignored, reduction="sum")
    if weight is None:
        return loss_sum, kept.sum()
    return loss_sum, (weight[torch.where(kept, target, 0)] * kept).sum()
