"""A module and its loss, as torch.export is to follow them: what its graph would not show is shown or refused."""

from collections.abc import Iterable, Iterator
from typing import Any
from unittest.mock import patch

from torch import Tensor, nn
from torch.autograd.function import BackwardCFunction

from distbp.errors import RequestError
from distbp.program.sum_loss import SumLoss

GENERATED = "torch._library.autograd"
"""Where torch makes the functions of custom ops, which are ops in the graph and have maps."""


class Followed(SumLoss):
    """SumLoss, with three things that torch.export drops without a word.

    A buffer that forward replaces (``self.count = self.count + 1``) is changed in place instead, at the end: until then
    the graph reads what was assigned. A torch.autograd.Function, of which only the forward pass would be left, is
    refused, and so is a hook on a gradient.
    """

    def forward(
        self, inputs: tuple[Tensor, ...], target: Any, state: tuple[Tensor, ...] = ()
    ) -> tuple[Tensor, int | Tensor, Any, tuple[Tensor, ...]]:
        """As SumLoss. Raises RequestError for what no graph can show."""
        held = {module: (name, dict(module._buffers)) for name, module in self.named_modules()}
        with patch.object(Tensor, "register_hook", _refuse_hook):
            loss_sum, count, output, after = super().forward(inputs, target, state)
        _refuse_functions(loss_sum)
        for module, (name, buffers) in held.items():
            for leaf, old in buffers.items():
                new, module._buffers[leaf] = module._buffers.get(leaf), old
                if old is not None and new is not old:
                    _copied(f"{name}.{leaf}".removeprefix("module."), old, new)
        return loss_sum, count, output, after


def _copied(name: str, old: Tensor, new: Tensor | None) -> None:
    """``new`` into ``old``, unless it has another look: what the buffer holds later could then not be added to it."""
    if new is None or (new.shape, new.dtype) != (old.shape, old.dtype):
        became = "nothing" if new is None else f"a tensor {tuple(new.shape)} of {new.dtype}"
        allowed = (
            f"forward replaces the buffer {name}, {tuple(old.shape)} of {old.dtype}, by {became}: a program keeps the "
            "shape and the dtype of a buffer; engine=autograd runs the module itself"
        )
        raise RequestError("engine", "manual", allowed)
    old.copy_(new.detach())


def refuse_hooks(parameters: Iterable[tuple[str, nn.Parameter]]) -> None:
    """RequestError for a parameter with a hook on its gradient."""
    for name, parameter in parameters:
        if parameter.requires_grad and parameter._backward_hooks:
            _refuse_hook(name)


def _refuse_hook(of: Any, *_: Any) -> None:
    name = of if isinstance(of, str) else "a tensor of forward"
    allowed = f"{name} has a hook (register_hook), which a program does not run; engine=autograd runs the module itself"
    raise RequestError("engine", "manual", allowed)


def _refuse_functions(loss_sum: Tensor) -> None:
    """RequestError for a torch.autograd.Function on the way to the loss."""
    functions = [node._forward_cls for node in _tape(loss_sum) if issubclass(type(node), BackwardCFunction)]
    for function in functions:
        if function.__module__ != GENERATED:
            allowed = (
                f"{function.__qualname__} is a torch.autograd.Function, whose backward pass torch.export does not see; "
                "an op of torch.library with a map of distbp.register_map can stand in its place, or engine=autograd "
                "runs the module itself"
            )
            raise RequestError("engine", "manual", allowed)


def _tape(loss_sum: Tensor) -> Iterator[Any]:
    """Every node of the tape that leads to the loss, each once."""
    waiting: list[Any] = [loss_sum.grad_fn]
    seen: set[Any] = {None}
    while waiting:
        node = waiting.pop()
        if node not in seen:
            seen.add(node)
            yield node
            waiting += [before for before, _ in node.next_functions]
