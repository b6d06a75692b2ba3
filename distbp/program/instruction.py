"""What a program executes: primitives of torch, one after the other, on tensors whose shapes are known."""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum, auto
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch._ops import OpOverload

from distbp.maps.base import Map
from distbp.program.graph import Call


class Origin(Enum):
    """Where a tensor's memory comes from."""

    INPUT = auto()  # given with each batch
    STATE = auto()  # a parameter or a buffer of the module
    GRADIENT = auto()  # where a parameter's gradient goes
    CONSTANT = auto()  # the same at every step
    MADE = auto()  # by an instruction


@dataclass(eq=False)
class Operand:
    """A tensor of the program. A view knows its ``root``, whose memory it shows; a root is its own."""

    name: str
    meta: Tensor  # has the shape, the strides, the dtype and the device, and no numbers
    origin: Origin
    root: "Operand" = field(init=False, repr=False)
    place: "Operand | None" = None  # a gradient, in whose memory a root lies

    def __post_init__(self) -> None:
        self.root = self

    def __str__(self) -> str:
        return self.name

    @property
    def bytes(self) -> int:
        """The memory that a root needs."""
        return self.meta.untyped_storage().nbytes()

    def covers_root(self) -> bool:
        """Whether this shows every element of its root once, in the order in which they lie."""
        mine, whole = self.meta, self.root.meta
        return mine.dtype == whole.dtype and mine.numel() == whole.numel() and dense(mine)


@dataclass(frozen=True)
class Scope:
    """What an instruction belongs to: a call of the graph, going down or up."""

    call: Call | None  # None: what the program returns
    up: bool = False


class Step(Enum):
    """What an opaque map is asked to do."""

    FORWARD = "forward"
    VJP = "vjp"


@dataclass(frozen=True, eq=False)
class Opaque:
    """An opaque map's function in the place of a primitive; ``saved`` names what passes between the two."""

    rule: type[Map] | Map
    step: Step
    saved: str
    attributes: tuple[tuple[str, Any], ...] = ()
    arrangement: tuple[int | None, ...] = ()  # of the gradients: how many for each input that is a list


@dataclass(frozen=True)
class Announcement:
    """In the place of a primitive: this parameter's gradient is complete."""

    name: str


@dataclass(eq=False)
class Instruction:
    """``outputs = op(*args, **kwargs)``. The arguments hold Operands, alone or in lists."""

    op: OpOverload | Opaque | Announcement
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    outputs: tuple[Operand | None, ...]
    several: bool
    scope: Scope
    keeps: tuple[Operand, ...] = ()  # read in some other way

    def reads(self) -> list[Operand]:
        """Every tensor among the arguments, those that it writes included."""
        return [*operands(self.args), *operands(self.kwargs), *self.keeps]

    def gives(self) -> list[Operand]:
        """The outputs that there are."""
        return [o for o in self.outputs if o is not None]

    def touches(self) -> list[Operand]:
        """Every tensor that it gives or reads."""
        return [*self.gives(), *self.reads()]

    def changes(self) -> list[Operand]:
        """The arguments that it writes."""
        if self.op is torch.ops.aten.native_batch_norm.default and self.args[5]:
            return operands(self.args[3:5])  # the running statistics, of which the schema does not tell
        if not isinstance(self.op, OpOverload):
            return []
        given = [self.args[i] if i < len(self.args) else self.kwargs.get(name) for i, name in _written(self.op)]
        return operands(given)

    def is_view(self) -> bool:
        """Whether all that it does is to show memory in another way."""
        given = self.gives()
        return bool(given) and not self.changes() and all(o.root is not o for o in given)

    def makes(self) -> list[Operand]:
        """The outputs that are new memory."""
        return [o for o in self.gives() if o.root is o]

    def is_(self, *ops: OpOverload) -> bool:
        """Whether the primitive is one of these."""
        return self.op in ops


@cache
def _written(op: OpOverload) -> list[tuple[int, str]]:
    """Number and name of the arguments that a primitive writes."""
    arguments = enumerate(op._schema.arguments)
    return [(i, a.name) for i, a in arguments if a.alias_info is not None and a.alias_info.is_write]


def operands(item: Any) -> list[Operand]:
    """The Operands within nested lists, tuples and dictionaries."""
    found: list[Operand] = []
    _collect(item, found)
    return found


def _collect(item: Any, found: list[Operand]) -> None:
    if isinstance(item, Operand):
        found.append(item)
    elif isinstance(item, dict):
        _collect(tuple(item.values()), found)
    elif isinstance(item, (list, tuple)):  # of a union, isinstance takes five times as long
        for inner in item:
            _collect(inner, found)


def replaced(item: Any, function: Callable[[Operand], Any]) -> Any:
    """``item`` with every Operand in it replaced."""
    if isinstance(item, Operand):
        return function(item)
    if isinstance(item, list | tuple):
        inner = [replaced(i, function) for i in item]
        return tuple(inner) if isinstance(item, tuple) else inner
    if isinstance(item, dict):
        return {name: replaced(i, function) for name, i in item.items()}
    return item


def dense(tensor: Tensor) -> bool:
    """Whether the elements lie without gaps, each once, in some order of the dimensions."""
    expected = 1
    for stride, length in sorted((s, n) for s, n in zip(tensor.stride(), tensor.shape, strict=True) if n != 1):
        if stride != expected:
            return False
        expected *= length
    return True


def is_random(op: Any) -> bool:
    """Whether a primitive draws random numbers."""
    return isinstance(op, OpOverload) and torch.Tag.nondeterministic_seeded in op.tags
