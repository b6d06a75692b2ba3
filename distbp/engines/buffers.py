"""The buffers of a module: copied before a forward pass, compared and put back after it."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn


class Buffers:
    """Every buffer of ``module``, by name; a buffer with two names counts once.

    What is reported of a buffer that moved is new - old, in the buffer's own dtype: of a running mean as of a count of
    batches. A buffer of booleans has no difference: it is put back and not reported.
    """

    def __init__(self, module: nn.Module) -> None:
        owners = {
            f"{path}.{leaf}" if path else leaf: (m, leaf) for path, m in module.named_modules() for leaf in m._buffers
        }
        self._owners = {name: owners[name] for name, _ in module.named_buffers()}

    def __len__(self) -> int:
        return len(self._owners)

    def copy(self) -> Sequence[tuple[Tensor, Tensor]]:
        """Each buffer as it is now: the tensor itself, and a copy of what is in it."""
        held = (owner._buffers[leaf] for owner, leaf in self._owners.values())
        return [(tensor, tensor.clone()) for tensor in held if tensor is not None]

    def restore(self, before: Sequence[tuple[Tensor, Tensor]]) -> Mapping[str, Tensor]:
        """Put every buffer back as ``copy`` found it, and return what had been added to those that moved."""
        deltas: dict[str, Tensor] = {}
        with torch.no_grad():
            for (name, (owner, leaf)), (tensor, old) in zip(self._owners.items(), before, strict=True):
                new = owner._buffers[leaf]
                if new is None or torch.equal(new, old):
                    continue
                if old.dtype != torch.bool:
                    deltas[name] = new - old
                owner._buffers[leaf] = tensor.copy_(old)
        return deltas
