"""One row of the table that the laws are tried on: a map, the op that it stands for, and how its inputs are drawn."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Generator, Tensor

from distbp.maps.base import Map
from distbp.maps.check import Call

SIZES = {"N": 4, "T": 3, "I": 5, "O": 2, "C": 3}
Sizes = Mapping[str, int]
Draw = Callable[[Sizes, Generator], Any]


class Case(NamedTuple):
    """``inputs``: "NI" is a tensor (N, I) of normal float64; "1" a dimension of one; "()" a scalar; "-" no tensor;
    "t:N" class numbers below C; "p:NC" probabilities along dimension 1; "w:C" positive numbers; a tuple of such is a
    list of tensors; a function of (sizes, generator) draws anything else. Attributes may be functions of the sizes.
    ``sizes`` fixes letters that else vary from 1 to 6.
    """

    op: str
    rule: type[Map]
    inputs: tuple[Any, ...]
    attributes: Mapping[str, Any] = {}
    sizes: Mapping[str, int] = {}

    def __str__(self) -> str:
        told = ",".join(f"{k}={v}" for k, v in self.attributes.items() if not callable(v))
        return f"{self.rule.__name__}[{' '.join(map(_told, self.inputs))}]{told}"

    def call(self, sizes: Sizes, seed: int = 0) -> Call:
        generator = Generator().manual_seed(seed)
        sizes = {**sizes, **self.sizes}
        inputs = [_input(spec, sizes, generator) for spec in self.inputs]
        attributes = {k: v(sizes) if callable(v) else v for k, v in self.attributes.items()}
        return Call(self.rule, inputs, attributes, seed)


def _told(spec: Any) -> str:
    if isinstance(spec, tuple):
        return f"({' '.join(map(_told, spec))})"
    return "*" if callable(spec) else str(spec)


def _input(spec: Any, sizes: Sizes, generator: Generator) -> Any:
    if isinstance(spec, tuple):
        return tuple(_input(item, sizes, generator) for item in spec)
    if callable(spec):
        return spec(sizes, generator)
    return _tensor(spec, sizes, generator)


def _tensor(text: str, sizes: Sizes, generator: Generator) -> Tensor | None:
    if text == "-":
        return None
    kind, _, letters = text.rpartition(":")
    dims = [sizes.get(letter, 1) for letter in letters if letter not in "()"]
    if kind == "t":
        return torch.randint(0, sizes["C"], dims, generator=generator)
    x = torch.randn(dims, generator=generator, dtype=torch.float64)
    return {"": x, "p": x.softmax(1 if x.dim() > 1 else 0), "w": x.abs() + 0.1}[kind]
