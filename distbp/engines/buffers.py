"""The buffers of a module: copied before a forward pass, compared and put back after it."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

Held = Mapping[str, tuple[Tensor, Tensor]]


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

    def copy(self, names: Iterable[str] | None = None) -> Held:
        """The buffers of these names, by default all, as they are now: the tensor, and a copy of what is in it."""
        held = {name: self._owners[name] for name in (self._owners if names is None else names)}
        tensors = {name: owner._buffers[leaf] for name, (owner, leaf) in held.items()}
        return {name: (tensor, tensor.clone()) for name, tensor in tensors.items() if tensor is not None}

    @contextmanager
    def probed(self) -> Iterator[list[str]]:
        """Find out which buffers move in what is done within: the list holds their names afterwards.

        Meanwhile float buffers hold numbers that no average leaves as they are, whatever the samples.
        """
        moved: list[str] = []
        original = self.copy()
        for tensor, _ in original.values():
            if tensor.is_floating_point():
                tensor.copy_(torch.linspace(0.5, 1.5, tensor.numel(), device=tensor.device).view(tensor.shape))
        probe = self.copy()
        try:
            yield moved
            moved += self.restore(probe)
        finally:
            self.restore(original)

    def restore(self, before: Held) -> Mapping[str, Tensor]:
        """Put every buffer back as ``copy`` found it, and return what had been added to those that moved."""
        deltas: dict[str, Tensor] = {}
        with torch.no_grad():
            for name, (tensor, old) in before.items():
                owner, leaf = self._owners[name]
                new = owner._buffers[leaf]
                if new is None or torch.equal(new, old):
                    continue
                if old.dtype != torch.bool:
                    deltas[name] = new - old
                owner._buffers[leaf] = tensor.copy_(old)
        return deltas
