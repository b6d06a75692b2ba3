"""Gradients are formed where they travel: the copies that remain are counted, and each has its reason."""

import pytest
import torch

from distbp.bench.models.table import MODELS, build
from distbp.program import program
from distbp.program.instruction import Operand
from distbp.program.primitives import out_of
from distbp.program.program import Delivery
from distbp.program.trace import Trace

NO_CHOICE = {  # kernels of torch that write several results, where they please
    "aten.convolution_backward.default",
    "aten.native_batch_norm_backward.default",
    "aten.native_layer_norm_backward.default",
    "aten.mkldnn_rnn_layer_backward.default",
}
WITHOUT = {"mlp_small", "mlp_large", "neumf"}


def copies(trace: Trace) -> dict[str, Operand]:
    """What is copied into the gradient of each parameter."""
    found = [i for i in trace.instructions if i.is_(torch.ops.aten.copy_.default) and i.args[0].root in trace.gradients]
    return {trace.gradients[i.args[0].root]: i.args[1] for i in found}


@pytest.mark.parametrize("name", MODELS)
def test_a_gradient_is_copied_only_where_the_kernel_cannot_be_told_its_place(name: str) -> None:
    case = build(name, seed=0, batch=4)
    made = program.build(case.module, case.loss, case.inputs, case.target, outputs=False)
    trace = made.passes(made.contiguous(), Delivery.WRITTEN).trace
    maker = {o: i.op for i in trace.instructions for o in i.makes()}
    sources = copies(trace)
    assert {str(maker[o.root]) for o in sources.values()} <= NO_CHOICE
    assert not any(out_of(maker[o.root]) for o in sources.values())
    assert bool(sources) == (name not in WITHOUT)
    if name.startswith("gpt"):
        assert sum(o.bytes for o in sources.values()) < 0.01 * sum(o.bytes for o in trace.gradients)
