"""What a program knows of torch's primitives: which make room, fill or copy, and which write where they are told to."""

from functools import cache
from typing import Any

import torch
from torch import Tensor, memory_format
from torch._ops import OpOverload

from distbp.precision import NARROW
from distbp.program.instruction import Instruction

aten = torch.ops.aten
ALLOCATIONS = (
    *(aten.empty.memory_format, aten.empty_like.default, aten.new_empty.default, aten.empty_strided.default),
    *(aten.new_empty_strided.default, aten.empty_permuted.default),
)
ZEROS = (aten.zeros.default, aten.zeros_like.default, aten.new_zeros.default)
ONES = (aten.ones.default, aten.ones_like.default, aten.new_ones.default)
FILLS = {aten.full.default: 1, aten.full_like.default: 1, aten.new_full.default: 2}
"""And which argument is the number."""
COPIES = (aten.clone.default, aten._to_copy.default)
ADDS = (
    *(aten.add_.Tensor, aten.addmm_.default, aten.addmv_.default, aten.addr_.default, aten.baddbmm_.default),
    *(aten.index_add_.default, aten.scatter_add_.default),
)
"""Those that add to their first argument."""

GRADED = (aten.mkldnn_rnn_layer.default,)
"""Those that keep what their VJPs read only where torch's tape is on, though nothing is on the tape."""


@cache
def out_of(op: Any) -> tuple[OpOverload, tuple[str, ...]] | None:
    """The overload of ``op`` that writes into given tensors, and their names; None if there is none.

    Overloads that torch generates do not count: they compute elsewhere and copy.
    """
    if not isinstance(op, OpOverload) or op._schema.is_mutable:
        return None
    wanted = [(a.name, str(a.type)) for a in op._schema.arguments]
    packet = op.overloadpacket
    if "reduction" in dict(wanted) and not packet.__name__.endswith("_backward"):
        return None  # losses use the place of their sum for the losses before, as if it were larger
    for overload in packet.overloads():
        other = getattr(packet, overload)
        out = [a for a in other._schema.arguments if a.is_out]
        rest = [(a.name, str(a.type)) for a in other._schema.arguments if not a.is_out]
        if out and rest == wanted and len(out) == len(op._schema.returns) and torch.Tag.generated not in other.tags:
            return other, tuple(a.name for a in out)
    return None


def can_be_told(i: Instruction) -> bool:
    """Whether what the instruction makes can lie where we say: it makes room, fills or copies, or has an ``out=``.

    Many kernels take what they write for contiguous, whatever its strides say (torch 2.13: native_batch_norm and
    _log_softmax_backward_data among them), so that only element-wise ones are trusted with any other order. In a low
    precision native_batch_norm wants its statistics in another dtype than it says (torch 2.13), and makes them itself.
    """
    if i.is_(aten.native_batch_norm.default) and i.outputs[0].meta.dtype in NARROW:  # type: ignore[union-attr]
        return False
    if i.is_(*ALLOCATIONS, *ZEROS, *ONES, *FILLS, *COPIES):
        return True
    if out_of(i.op) is None or len(i.makes()) != len(i.outputs):
        return False
    return torch.Tag.pointwise in i.op.tags or all(usual(o.meta) for o in i.makes())  # type: ignore[union-attr]


def usual(x: Tensor) -> bool:
    """Whether a tensor is contiguous, or channels_last."""
    formats: dict[int, memory_format] = {4: torch.channels_last, 5: torch.channels_last_3d}
    return x.is_contiguous() or (x.dim() in formats and x.is_contiguous(memory_format=formats[x.dim()]))
