"""One number for a set of tensors: equal digests are equal bits."""

import hashlib
from collections.abc import Mapping

import torch
from torch import Tensor


def digest(tensors: Mapping[str, Tensor]) -> str:
    """The sha256 of the tensors in order of name: name, dtype, shape, and the raw little-endian bytes of each."""
    total = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        total.update(f"{name}\0{tensor.dtype}\0{tuple(tensor.shape)}\0".encode())
        total.update(raw(tensor))
    return total.hexdigest()


def digests(tensors: Mapping[str, Tensor]) -> dict[str, str]:
    """The digest of each tensor alone, by name."""
    return {name: digest({name: tensor}) for name, tensor in tensors.items()}


def raw(tensor: Tensor) -> memoryview:
    """The bytes of a contiguous tensor on the CPU, where they lie in memory."""
    return tensor.reshape(-1).view(torch.uint8).numpy().data
