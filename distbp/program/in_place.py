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
    stem = packet.__name__
    found = getattr(getattr(torch.ops, op.namespace), stem.removesuffix("_"), None) if stem.endswith("_") else None
    return op._schema.arguments[0].name, getattr(found, op._overloadname, None)
