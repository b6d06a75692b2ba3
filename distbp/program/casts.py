"""The casts of torch.autocast as calls of a program: which operands it casts is found out by asking torch."""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch._ops import OpOverload
from torch._subclasses.fake_tensor import DataDependentOutputException, DynamicOutputShapeException, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map

from distbp.precision import Precision
from distbp.program.graph import Call, Value
from distbp.program.names import Names

aten = torch.ops.aten
CASTS = (aten.to, aten.type_as)
"""Ops that are casts themselves."""

UNKNOWN = (DataDependentOutputException, DynamicOutputShapeException)
"""What torch says of an op whose result depends on numbers: it has no operands that autocast would cast."""


class Casts:
    """What stands around a call under ``precision``. A value is cast once, however many calls read it."""

    def __init__(self, precision: Precision, names: Names, device: torch.device) -> None:
        self.precision = precision
        self._names = names
        self._device = device
        self._made: dict[tuple[Value, torch.dtype, bool], Value] = {}

    def around(self, call: Call) -> Iterator[Call]:
        """The casts of the call's operands that are not there yet; the call; and casts of what it then gives otherwise
        than torch (an LSTM's cell by cell in the low precision, say).
        """
        if self.precision.dtype is None or not self._may_cast(call):
            yield call
            return
        wanted, _ = self._asked(call, autocast=True)
        for value, dtype in wanted.items():
            if (value, dtype, call.still) not in self._made:
                yield self._cast(call, value, dtype)
        taken = {value: self._made[value, dtype, call.still] for value, dtype in wanted.items()}
        call.inputs = tree_map(lambda item: taken.get(item, item) if isinstance(item, Value) else item, call.inputs)
        yield from self._given(call) if wanted else (call,)

    def _may_cast(self, call: Call) -> bool:
        """Whether autocast knows the op, or torch makes it of others that it may know."""
        name = call.op._schema.name + (f".{call.op._schema.overload_name}" if call.op._schema.overload_name else "")
        keys = f"Autocast{self._device.type.upper()}", "CompositeImplicitAutograd"
        known = any(torch._C._dispatch_has_kernel_for_dispatch_key(name, key) for key in keys)
        known = known and call.op.overloadpacket not in CASTS
        return known and any(value.dtype.is_floating_point for value in call.values())

    def _cast(self, call: Call, value: Value, dtype: torch.dtype) -> Call:
        made = Value(self._names.new(f"{value.name}_{short(dtype)}"), value.shape, dtype)
        self._made[value, dtype, call.still] = made
        return self._call(call, value, made)

    def _given(self, call: Call) -> Iterator[Call]:
        """The call, and a cast of each output that it gives in another dtype than the program was told."""
        _, dtypes = self._asked(call, autocast=False)
        outputs = list(call.outputs)
        after = []
        for number, (value, dtype) in enumerate(zip(outputs, dtypes, strict=True)):
            if value is not None and dtype != value.dtype:
                outputs[number] = given = Value(self._names.new(f"{value.name}_{short(dtype)}"), value.shape, dtype)
                after.append(self._call(call, given, value))
        yield replace(call, outputs=tuple(outputs)) if after else call
        yield from after

    def _call(self, near: Call, value: Value, made: Value) -> Call:
        """The call that casts ``value``, told of as one of the module that ``near`` stands in."""
        told = {a.name: a.default_value for a in aten._to_copy.default._schema.arguments if a.name != "self"}
        told["dtype"] = made.dtype
        return Call(aten._to_copy.default, (value,), ("self",), told, (made,), False, near.path, near.kind, near.still)

    def _asked(self, call: Call, *, autocast: bool) -> tuple[dict[Value, torch.dtype], list[torch.dtype]]:
        """What the op does with tensors without numbers: the operands it casts, and the dtypes of its results."""
        fakes = FakeTensorMode()
        with torch.no_grad(), fakes:
            tensors = {v: torch.empty(v.shape, dtype=v.dtype, device=self._device) for v in call.values()}
            given = tree_map(lambda item: tensors[item] if isinstance(item, Value) else item, call.inputs)
            listed = (list(item) if isinstance(item, tuple) else item for item in given)
            told = dict(zip(call.names, listed, strict=True)) | call.attributes
            listener = _Listener(tensors)
            with suppress(*UNKNOWN), listener, self.precision.autocast(self._device) if autocast else fakes:
                results = tree_flatten(call.op(**told))[0]
                return listener.cast, [result.dtype for result in results]
        return {}, []


class _Listener(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Notes which of ``tensors``, or views or copies of them, are copied into another dtype."""

    def __init__(self, tensors: Mapping[Value, Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.cast: dict[Value, torch.dtype] = {}
        self._owners = {tensor.untyped_storage()._cdata: value for value, tensor in tensors.items()}
        self._held: list[Tensor] = []  # so that no place in memory is given to a second tensor

    def __torch_dispatch__(
        self, func: OpOverload, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run ``func``, having looked at what it copies."""
        result = func(*args, **(kwargs or {}))
        if func in (aten._to_copy.default, aten.clone.default):
            value = self._owners.get(args[0].untyped_storage()._cdata)
            if value is not None and result.dtype != args[0].dtype:
                self.cast[value] = result.dtype
            elif value is not None:
                self._owners[result.untyped_storage()._cdata] = value
                self._held.append(result)
        return result


def short(dtype: torch.dtype) -> str:
    """A dtype's name within a value's."""
    return {torch.bfloat16: "bf16", torch.float16: "fp16", torch.float32: "fp32"}.get(dtype, str(dtype).split(".")[-1])
