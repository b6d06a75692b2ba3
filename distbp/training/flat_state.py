"""An optimizer's state by parameter name, though it lives in shares of flat buffers: what a checkpoint holds.

``"exp_avg/fc.weight"`` has the parameter's shape; ``"step/"`` is a number that all parameters share. So the state fits
any layout: another number of workers, another order of emission.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.optim import Optimizer

from distbp.training.shaped import Shaped, restore_shaped, shaped_by_name
from distbp.training.weights import Weights

AVERAGE = "average"
"""The kind of state that is no optimizer's: the average of the weights."""


def by_name(optimizer: Optimizer, weights: Weights, *, step: int) -> dict[str, Tensor]:
    """The state's tensors; they hold until the next step. Collective."""
    if isinstance(optimizer, Shaped):
        return shaped_by_name(optimizer, weights.views)
    state: dict[str, Tensor] = {}
    for kind in kinds(optimizer, weights):
        values = [optimizer.state[share][kind] for share in weights.shares]
        shared = values[0].dim() == 0
        state |= {f"{kind}/": values[0]} if shared else named(kind, values, weights, step=step)
    return state


def named(kind: str, values: Sequence[Tensor], weights: Weights, *, step: int) -> dict[str, Tensor]:
    """What this worker has of its shares, whole and by name. Collective."""
    whole = zip(weights.layouts, weights.whole(values, step=step), strict=True)
    return {f"{kind}/{n}": view for layout, flat in whole for n, view in layout.views(flat).items()}


def restore(state: Mapping[str, Tensor], optimizer: Optimizer, weights: Weights) -> None:
    """Put a state from ``by_name`` into the optimizer of these weights; what else there is, is another's."""
    if isinstance(optimizer, Shaped):
        restore_shaped(state, optimizer, weights.views)
        return
    for kind in dict.fromkeys(key.partition("/")[0] for key in state if not key.startswith(f"{AVERAGE}/")):
        shared = state.get(f"{kind}/")
        values = gathered(state, kind, weights) if shared is None else [shared] * len(weights.shares)
        for share, value in zip(weights.shares, values, strict=True):
            optimizer.state[share][kind] = value.to(share.device, copy=True)
    if isinstance(optimizer, torch.optim.RMSprop) and optimizer.defaults["momentum"]:
        for share in weights.shares:  # a run that had none before: torch makes it in the first step alone
            optimizer.state[share].setdefault("momentum_buffer", torch.zeros_like(share))


def kinds(optimizer: Optimizer, weights: Weights) -> list[str]:
    """The names of the state's tensors: the same for every share (None: a momentum that is not used)."""
    first = optimizer.state[weights.shares[0]] if weights.shares else {}
    return [kind for kind, value in first.items() if isinstance(value, Tensor)]


def gathered(state: Mapping[str, Tensor], kind: str, weights: Weights) -> list[Tensor]:
    """One kind of state, of this worker's shares."""
    buffers = [layout.allocate(torch.device("cpu")) for layout in weights.layouts]
    for layout, buffer in zip(weights.layouts, buffers, strict=True):
        for name, view in layout.views(buffer).items():
            view.copy_(state[f"{kind}/{name}"])
    return weights.own(buffers)
