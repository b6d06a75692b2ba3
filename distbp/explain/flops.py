"""The floating-point operations of a primitive, by torch's own formulas: products and convolutions; others count 0."""

import torch
from torch import Tensor
from torch._ops import OpOverload
from torch.utils.flop_counter import flop_registry

from distbp.program.instruction import Instruction, Operand, replaced

aten = torch.ops.aten
ALIKE = {  # packets that torch has no formula for, and those that compute the same
    aten.addmm_: aten.addmm,
    aten.baddbmm_: aten.baddbmm,
    aten._scaled_dot_product_flash_attention_for_cpu: aten._scaled_dot_product_flash_attention,
}


def _of_lstm(i: Instruction) -> int:
    """2 (T N) 4H (I + H): the products of each step's input and state with the gates' matrices."""
    x, *matrices = (shown(operand) for operand in i.args[:3])
    return 2 * x.shape[:-1].numel() * sum(matrix.numel() for matrix in matrices)


def flops(i: Instruction) -> int:
    """A multiplication and an addition are two."""
    if not isinstance(i.op, OpOverload):
        return 0
    if i.is_(aten.mkldnn_rnn_layer.default):
        return _of_lstm(i)
    packet = i.op.overloadpacket
    formula = flop_registry.get(ALIKE.get(packet, packet))
    if formula is None:
        return 0
    args, kwargs = replaced((i.args, i.kwargs), shown)
    made = [None if o is None else shown(o) for o in i.outputs]
    return int(formula(*args, **kwargs, out_val=tuple(made) if i.several else made[0]))


def shown(operand: Operand) -> Tensor:
    """The shape of an operand, as a tensor without numbers."""
    return operand.meta
