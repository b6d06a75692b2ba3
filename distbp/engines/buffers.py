"""The buffers of a module: copied before a forward pass, compared and put back after it."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

Held = Mapping[str, tuple[Tensor, Tensor]]
Marks = Mapping[str, tuple[int, int]]


class Buffers:
    """Every buffer of ``module``, by name; a buffer with two names counts once. Those of a ``loss`` are ``loss.name``.

    What is reported of a buffer that moved is new - old, in the buffer's own dtype: of a running mean as of a count of
    batches. A buffer of booleans has no difference: it is put back and not reported.
    """

    def __init__(self, module: nn.Module, loss: object = None) -> None:
        self._owners = _owners(module)
        if isinstance(loss, nn.Module):
            self._owners |= {f"loss.{name}": owner for name, owner in _owners(loss).items()}

    def __len__(self) -> int:
        return len(self._owners)

    def copy(self, names: Iterable[str] | None = None) -> Held:
        """The buffers of these names, by default all, as they are now: the tensor, and a copy of what is in it."""
        return {name: (tensor, tensor.clone()) for name, tensor in self._tensors(names)}

    def marks(self) -> Marks:
        """What tells whether a buffer has been written or replaced since, by name."""
        return {name: (id(tensor), tensor._version) for name, tensor in self._tensors()}

    def changed(self, since: Marks) -> list[str]:
        """Those that have been written or replaced, be it by what they held."""
        return [name for name, mark in self.marks().items() if mark != since.get(name)]

    def _tensors(self, names: Iterable[str] | None = None) -> Iterator[tuple[str, Tensor]]:
        for name in self._owners if names is None else names:
            owner, leaf = self._owners[name]
            if (tensor := owner._buffers[leaf]) is not None:
                yield name, tensor

    @contextmanager
    def probed(self) -> Iterator[list[str]]:
        """Find out which buffers move in what is done within: the list holds their names afterwards.

        Meanwhile float buffers hold numbers that no average leaves as they are, whatever the samples.
        """
        moved: list[str] = []
        original = self.copy()
        for tensor, _ in original.values():
            if tensor.is_floating_point():
                own = once(tensor)
                own.copy_(torch.linspace(0.5, 1.5, own.numel(), device=own.device).view(own.shape))
        probe, marks = self.copy(), self.marks()
        try:
            yield moved
            moved += self.changed(marks)
            moved += [name for name in self.restore(probe) if name not in moved]
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
                once(tensor).copy_(once(old, like=tensor))
                owner._buffers[leaf] = tensor
        return deltas


def _owners(module: nn.Module) -> dict[str, tuple[nn.Module, str]]:
    """Of each buffer, by name, the module that has it, and as what."""
    found = {f"{path}.{leaf}" if path else leaf: (m, leaf) for path, m in module.named_modules() for leaf in m._buffers}
    return {name: found[name] for name, _ in module.named_buffers()}


def once(tensor: Tensor, *, like: Tensor | None = None) -> Tensor:
    """A view of ``tensor`` that shows each of its numbers once, where it (or ``like``) has been expanded."""
    for dimension, stride in enumerate((tensor if like is None else like).stride()):
        if stride == 0:
            tensor = tensor.narrow(dimension, 0, min(1, tensor.shape[dimension]))
    return tensor
