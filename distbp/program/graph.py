"""A model and its loss as a straight line of calls: what torch.export gives, in our own few words."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch._ops import OpOverload
from torch.utils._pytree import TreeSpec


@dataclass(eq=False)
class Value:
    """A tensor of the program: an input, a parameter, a buffer, a constant, or what a call returns."""

    name: str  # an identifier, used by no other value
    shape: tuple[int, ...]
    dtype: torch.dtype

    def __str__(self) -> str:
        return self.name


@dataclass(eq=False)
class Call:
    """One op, applied. ``inputs`` are Values, None, or tuples of them (an op that takes a list)."""

    op: OpOverload
    inputs: tuple[Any, ...]
    names: tuple[str, ...]  # what the op calls its inputs
    attributes: dict[str, Any]  # every other argument of the op, by name
    outputs: tuple[Value | None, ...]  # None for one that nobody reads
    several: bool  # whether the op returns a tuple
    path: str | None  # of the module within the user's; "" is the user's itself; None is the loss
    kind: str  # the module's class
    still: bool = False  # whether no gradient flows through it, as under torch.no_grad

    def values(self) -> Iterator[Value]:
        """The inputs that are Values, lists opened."""
        for item in self.inputs:
            for value in item if isinstance(item, tuple) else (item,):
                if isinstance(value, Value):
                    yield value

    def told(self) -> dict[str, Any]:
        """The attributes that differ from the op's defaults."""
        defaults = {a.name: a.default_value for a in self.op._schema.arguments if a.has_default_value()}
        return {n: v for n, v in self.attributes.items() if n not in defaults or v != defaults[n]}

    @property
    def where(self) -> str:
        """The module in which the op was called, for people."""
        if self.path is None:
            return "the loss"
        return f"{self.path} ({self.kind})" if self.path else self.kind


@dataclass(frozen=True)
class Slot:
    """Where a parameter or a buffer is found at every call: modules may replace their buffers."""

    name: str  # in the user's module
    owner: nn.Module
    leaf: str
    trainable: bool

    def read(self) -> torch.Tensor:
        """The tensor that is there now."""
        tensor = self.owner._parameters.get(self.leaf)
        found = self.owner._buffers[self.leaf] if tensor is None else tensor
        assert found is not None
        return found


@dataclass(frozen=True)
class Graph:
    """Calls in order, and where their operands come from."""

    title: str
    inputs: tuple[Value, ...]
    slots: dict[Value, Slot]
    constants: dict[Value, torch.Tensor]
    calls: list[Call]
    loss_sum: Value
    count: Value | int
    outputs: tuple[Any, ...]  # the leaves of the module's output
    state: tuple[
        Any, ...
    ]  # the tensors of its new state, where it carries one; those of the old one are its last inputs
    moved: dict[Value, Value]  # the buffers that the forward pass changes, and what they become
    spec: TreeSpec  # of (loss_sum, count, output, state)

    def values(self) -> Iterator[Value]:
        """Every value of the program."""
        yield from (*self.inputs, *self.slots, *self.constants)
        for call in self.calls:
            yield from (value for value in call.outputs if value is not None)


def needed(calls: Sequence[Call], returned: Iterable[Any]) -> list[Call]:
    """The calls that what is returned depends on, in order."""
    wanted, kept = {item for item in returned if isinstance(item, Value)}, []
    for call in reversed(calls):
        if wanted.intersection(call.outputs):
            wanted.update(call.values())
            kept.append(call)
    return kept[::-1]
