"""An optimizer's state by parameter name, though it lives in flat buffers: what a checkpoint holds.

``"exp_avg/fc.weight"`` has the parameter's shape; ``"step/"`` is a number that all parameters share. So the state fits
any layout: another number of workers, another order of emission.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.optim import Optimizer

from distbp.reduction.layout import Layout


def by_name(optimizer: Optimizer, parameters: Sequence[Tensor], layouts: Sequence[Layout]) -> dict[str, Tensor]:
    """Copies of the state's tensors on the CPU."""
    state: dict[str, Tensor] = {}
    for flat, layout in zip(parameters, layouts, strict=True):
        for kind, value in optimizer.state[flat].items():
            if not isinstance(value, Tensor):
                continue  # None: a momentum that is not used
            views = layout.views(value) if value.numel() == layout.length else {"": value}
            state |= {f"{kind}/{name}": view.detach().cpu().clone() for name, view in views.items()}
    return state


def restore(
    state: Mapping[str, Tensor], optimizer: Optimizer, parameters: Sequence[Tensor], layouts: Sequence[Layout]
) -> None:
    """Put a state from ``by_name`` into the optimizer of these flat parameters."""
    for flat, layout in zip(parameters, layouts, strict=True):
        for kind in {key.partition("/")[0] for key in state}:
            shared = state.get(f"{kind}/")
            optimizer.state[flat][kind] = (
                gathered(state, kind, flat, layout) if shared is None else shared.to(flat.device, copy=True)
            )


def gathered(state: Mapping[str, Tensor], kind: str, flat: Tensor, layout: Layout) -> Tensor:
    """The flat buffer of one kind of state."""
    buffer = torch.zeros_like(flat)
    for name, view in layout.views(buffer).items():
        view.copy_(state[f"{kind}/{name}"])
    return buffer
