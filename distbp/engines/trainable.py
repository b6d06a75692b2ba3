"""What is settled when an engine sees its first part: which parameters have gradients, and which buffers move.

Some parameters may be frozen later; none join, and no more buffers move.
"""

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn
from torch.nn.parameter import UninitializedParameter

from distbp.errors import RequestError


def refuse_unmovable(names: Iterable[str], module: nn.Module) -> None:
    """RequestError for a buffer that a training pass changes, and whose changes over the parts cannot be summed."""
    buffers = dict(module.named_buffers())
    for name in names:
        if name not in buffers:
            allowed = (
                "training changes this buffer of the loss: one of the module would be summed over parts, and saved"
            )
            raise RequestError("loss", name, allowed)
        if buffers[name].dtype == torch.bool:
            allowed = (
                "training changes it, and booleans have no difference: a buffer of integers (torch.uint8) is allowed"
            )
            raise RequestError("buffer", name, allowed)


def refuse_complex(parameters: Iterable[tuple[str, nn.Parameter]]) -> None:
    """RequestError for a trainable parameter of complex numbers."""
    for name, parameter in parameters:
        if parameter.requires_grad and parameter.is_complex():
            allowed = (
                "a trainable parameter of real numbers is allowed: torch.view_as_complex makes complex ones of pairs"
            )
            raise RequestError("module", f"{name} of {parameter.dtype}", allowed)


def refuse_unfit(module: nn.Module, loss: object) -> None:
    """RequestError for what cannot be trained: nothing, complex numbers, and parameters of the loss."""
    refuse_untrainable(module)
    refuse_complex(module.named_parameters())
    refuse_trainable_loss(loss, module)


def refuse_untrainable(module: nn.Module) -> None:
    """RequestError for a module of which nothing is trained."""
    if not any(parameter.requires_grad for parameter in module.parameters()):
        allowed = "none of its parameters requires a gradient: there is nothing to train"
        raise RequestError("module", type(module).__name__, allowed)


def refuse_lazy(module: nn.Module) -> None:
    """RequestError for a parameter that waits for its first input."""
    for name, parameter in module.named_parameters():
        if isinstance(parameter, UninitializedParameter):
            allowed = "it has no shape yet: call the module once, on some input, before"
            raise RequestError("module", name, allowed)


def refuse_replaced(module: nn.Module, trained: Mapping[str, nn.Parameter], views: Mapping[str, Tensor]) -> None:
    """RequestError for a trainable parameter that is not the one that is ``trained``, or of another look than the
    ``views`` of the gradients: none would reach it.
    """
    for name, parameter in module.named_parameters():
        if not parameter.requires_grad:
            continue
        if parameter is not trained.get(name):
            allowed = "what is trained is settled in the first step; make DataParallel anew"
            raise RequestError("module", name, allowed)
        view = views.get(name, parameter)
        if (parameter.dtype, parameter.device) != (view.dtype, view.device):
            allowed = f"in the first step it was {view.dtype} on {view.device}; make DataParallel anew"
            raise RequestError("module", f"{name} of {parameter.dtype} on {parameter.device}", allowed)


def refuse_trainable_loss(loss: object, module: nn.Module) -> None:
    """RequestError for a trainable parameter of the loss: no gradient of it is formed."""
    own = {id(parameter) for parameter in module.parameters()}
    for name, parameter in loss.named_parameters() if isinstance(loss, nn.Module) else ():
        if parameter.requires_grad and id(parameter) not in own:
            allowed = "a trainable parameter of the module is allowed: one of the loss alone would not be trained"
            raise RequestError("loss", name, allowed)


def refuse_moved(names: Iterable[str]) -> None:
    """RequestError for a buffer that a training pass begins to change only now: nobody sums its changes."""
    for name in names:
        allowed = (
            "a buffer that training changes has to change in the first part, too: begin with the module in the mode in "
            "which it is trained, or make the engine anew"
        )
        raise RequestError("buffer", name, allowed)


def refuse_written(names: Iterable[str]) -> None:
    """RequestError for a parameter that the module's forward pass changes (an embedding with ``max_norm``, say)."""
    for name in names:
        allowed = "forward must not change a parameter: each worker would, by its own samples alone"
        raise RequestError("module", name, allowed)


def refuse_joined(names: Iterable[str]) -> None:
    """RequestError for a parameter that was frozen at first and is trainable now: its gradient has no place."""
    for name in names:
        allowed = (
            "it was frozen when the engine saw its first part, and its gradient has no place; make the engine anew"
        )
        raise RequestError("requires_grad", name, allowed)
