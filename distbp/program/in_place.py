"""Ops that change a tensor, and their twins that return what it becomes and leave it alone."""

import torch
from torch._ops import OpOverload

from distbp.program.primitives import out_of


def twin_of(op: OpOverload) -> tuple[str, OpOverload | None]:
    """The argument that ``op`` changes, and its twin: ``aten.add`` of ``aten.add_`` and of ``aten.add.out``.

    The twin is None where torch has none.
    """
    packet = op.overloadpacket
    for overload in packet.overloads():
        twin = getattr(packet, overload)
        writes = out_of(twin)
        if writes is not None and writes[0] is op and len(writes[1]) == 1:
            return writes[1][0], twin
    return op._schema.arguments[0].name, _functional(op)


def _functional(op: OpOverload) -> OpOverload | None:
    """Of the ops by the same name without its underscore, the one that takes the same: ``pow.Tensor_Scalar`` of
    ``pow_.Scalar``.
    """
    stem, known = op.overloadpacket.__name__, getattr(torch.ops, op.namespace)
    names = (stem.removesuffix("_"), f"{stem}functional") if stem.endswith("_") else ()
    packets = [getattr(known, name) for name in names if hasattr(known, name)]
    alike = [getattr(packet, name) for packet in packets for name in packet.overloads()]
    alike = [other for other in alike if not other._schema.is_mutable and _taken(other) == _taken(op)]
    named = [other for other in alike if other._overloadname == op._overloadname]
    return next(iter([*named, *alike]), None)


def _taken(op: OpOverload) -> list[str]:
    """The types of what an op is given, in order."""
    return [str(argument.type) for argument in op._schema.arguments]
