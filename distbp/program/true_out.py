"""Which primitives can write their results where they are told to, and how."""

from functools import cache
from typing import Any

import torch
from torch._ops import OpOverload


@cache
def out_of(op: Any) -> tuple[OpOverload, tuple[str, ...]] | None:
    """The overload of ``op`` that writes into given tensors, and their names; None if there is none.

    Overloads that torch generates do not count: they compute elsewhere and copy.
    """
    if not isinstance(op, OpOverload) or op._schema.is_mutable:
        return None
    wanted = [(a.name, str(a.type)) for a in op._schema.arguments]
    packet = op.overloadpacket
    for overload in packet.overloads():
        other = getattr(packet, overload)
        out = [a for a in other._schema.arguments if a.is_out]
        rest = [(a.name, str(a.type)) for a in other._schema.arguments if not a.is_out]
        if out and rest == wanted and len(out) == len(op._schema.returns) and torch.Tag.generated not in other.tags:
            return other, tuple(a.name for a in out)
    return None
