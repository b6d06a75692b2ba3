"""Finds out what a piece of mathematics executes, by running it once on tensors that have no numbers."""

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch._ops import OpOverload
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes
from torch.utils._pytree import tree_map

from distbp.program.instruction import Instruction, Opaque, Operand, Origin, Scope
from distbp.program.names import Names, of_op

GENERATOR = torch.Generator()
"""Stands for the random numbers of a part."""


FAKES_LOG = logging.getLogger("torch._subclasses.fake_tensor")
"""Where torch writes the traceback of an op that fails on tensors without numbers, before it raises."""


class Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """The instructions so far. What runs within ``recording`` is appended to them."""

    def __init__(self, names: Names) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.instructions: list[Instruction] = []
        self.constants: dict[Operand, Tensor] = {}
        self.scope = Scope(None)
        self._names = names
        self._fakes = FakeTensorMode(allow_non_fake_inputs=True)
        self._known: dict[int, Operand] = {}
        self._owners: dict[int, Operand] = {}  # by storage
        self._held: list[Tensor] = []  # so that no identity is given to a second tensor

    @contextmanager
    def recording(self, scope: Scope) -> Iterator[None]:
        """What runs within is recorded, as belonging to ``scope``."""
        self.scope = scope
        with torch.no_grad(), _unlogged(), self._fakes, self:
            yield

    def given(self, name: str, like: tuple[Any, ...], origin: Origin) -> Tensor:
        """A tensor that the program finds: ``like`` is its (shape, stride, dtype, device)."""
        shape, stride, dtype, device = like
        with _disable_current_modes(), self._fakes:
            tensor = torch.empty_strided(shape, stride, dtype=dtype, device=device)
        self._note(tensor, name, origin)
        return tensor

    def call(self, op: Opaque, args: tuple[Any, ...], outputs: Sequence[Any], keeps: Sequence[Tensor]) -> list[Any]:
        """Record a call that is made as it stands. ``outputs`` has for each (name, like), or None."""
        made = [None if o is None else self.given(o[0], o[1], Origin.MADE) for o in outputs]
        operands = tuple(None if m is None else self.operand(m) for m in made)
        kept = tuple(map(self.operand, keeps))
        self.instructions.append(Instruction(op, self.read(args), {}, operands, True, self.scope, kept))
        return made

    def operand(self, tensor: Tensor) -> Operand:
        """The Operand of a tensor that was given or computed; a tensor with numbers is a constant."""
        if id(tensor) in self._known:
            return self._known[id(tensor)]
        if isinstance(tensor, FakeTensor):
            raise TypeError("the tensor was made outside of the recording")
        operand = self._note(tensor, self._names.new("constant"), Origin.CONSTANT)
        self.constants[operand] = tensor
        return operand

    def rename(self, tensor: Tensor, name: str) -> None:
        """Give the operand of ``tensor`` a name of the model's, in the place of one after its primitive."""
        self.operand(tensor).name = name

    def is_made(self, tensor: Tensor, since: int) -> bool:
        """Whether an instruction from number ``since`` on has ``tensor`` among its outputs."""
        operand = self.operand(tensor)
        return any(operand in instruction.outputs for instruction in self.instructions[since:])

    def __torch_dispatch__(
        self, func: OpOverload, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run ``func`` on tensors without numbers, and note that."""
        kwargs = kwargs or {}
        result = func(*args, **{k: None if k == "generator" else v for k, v in kwargs.items()})  # nothing is drawn here
        several = isinstance(result, tuple | list)
        tensors = list(result) if several else [result]
        if not any(isinstance(t, Tensor) for t in tensors):
            return result
        if func is torch.ops.aten.detach.default:
            self._same(result, args[0])
            return result
        read_args, read_kwargs = self.read(args), self.read(kwargs)
        outputs = tuple(self._made(t, func) if isinstance(t, Tensor) else None for t in tensors)
        self.instructions.append(Instruction(func, read_args, read_kwargs, outputs, several, self.scope))
        return result

    def _made(self, tensor: Tensor, op: OpOverload) -> Operand:
        """The operand of a result: a new one, unless the primitive returns one of its arguments."""
        known = self._known.get(id(tensor))
        return self._note(tensor, self._names.new(of_op(str(op))), Origin.MADE) if known is None else known

    def _same(self, tensor: Tensor, other: Tensor) -> None:
        """``tensor`` is ``other``, for a program that has no tape."""
        self._known[id(tensor)] = self.operand(other)
        self._held.append(tensor)

    def _note(self, tensor: Tensor, name: str, origin: Origin) -> Operand:
        operand = Operand(name, tensor, origin)
        operand.root = self._owners.setdefault(tensor.untyped_storage()._cdata, operand)
        self._known[id(tensor)] = operand
        self._held.append(tensor)
        return operand

    def read(self, item: Any) -> Any:
        """``item`` with the operand of each tensor in its place."""
        read: Callable[[Any], Any] = lambda x: self.operand(x) if isinstance(x, Tensor) else x  # noqa: E731
        return tree_map(read, item)


@contextmanager
def _unlogged() -> Iterator[None]:
    """Without torch's log of what fails within, in this thread: the exception tells it, and is ours to report."""
    here = threading.get_ident()
    others: Callable[[logging.LogRecord], bool] = lambda record: record.thread != here  # noqa: E731
    FAKES_LOG.addFilter(others)
    try:
        yield
    finally:
        FAKES_LOG.removeFilter(others)
