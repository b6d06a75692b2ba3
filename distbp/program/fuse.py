"""A linear layer whose output only a cross entropy reads becomes one call, where the logits
are large: they never exist as a whole.
"""

import math
from dataclasses import replace
from typing import Any

import torch

from distbp.maps import registry
from distbp.maps.cross_entropy import CHUNK_BYTES
from distbp.program.graph import Call, Graph, Value, needed

OP = "distbp.linear_cross_entropy.default"
torch.library.define(
    "distbp::linear_cross_entropy",
    "(Tensor x, Tensor W, Tensor? b, Tensor target, Tensor? weight=None, "
    "int reduction=1, int ignore_index=-100, float label_smoothing=0.0) -> Tensor",
)
SHAPES = ("aten.reshape.default", "aten.flatten.using_ints")
AFFINE = ("aten.mul.Scalar", "aten.div.Scalar", "aten.neg.default", "aten.add.Tensor", "aten.add.Scalar")


def fused(graph: Graph) -> Graph:
    """``graph`` without the outputs of its module, with that pair as one call wherever it stands at the turn."""
    graph = _without_outputs(graph)
    for call in reversed(graph.calls):
        if str(call.op) == "aten.cross_entropy_loss.default":
            pair = _linear(graph, call)
            if pair is not None and _at_the_turn(graph, call):
                return _joined(graph, call, *pair)
    return graph


def _without_outputs(graph: Graph) -> Graph:
    """``graph`` without what only the module's output needs; a state that it carries is returned all the same."""
    returned = (graph.loss_sum, graph.count, *graph.state, *graph.moved.values())
    return replace(graph, calls=needed(graph.calls, returned), outputs=())


def _linear(graph: Graph, loss: Call) -> tuple[Call, list[Call]] | None:
    """The linear layer that makes the logits of ``loss``, and the calls on the way; None if others read them too."""
    made = {value: call for call in graph.calls for value in call.outputs}
    readers: dict[Value, int] = {}
    for call in graph.calls:
        for read in call.values():
            readers[read] = readers.get(read, 0) + 1
    value: Value = loss.inputs[0]
    way: list[Call] = []
    while value in made and readers[value] == 1:
        call = made[value]
        if str(call.op) == "aten.linear.default":
            return (call, way) if len(value.shape) > 1 else None
        if str(call.op) not in SHAPES or call.outputs[0].shape[-1] != call.inputs[0].shape[-1]:  # type: ignore[union-attr]
            return None
        way.append(call)
        value = call.inputs[0]
    return None


def _at_the_turn(graph: Graph, loss: Call) -> bool:
    """Whether nothing that the backward pass does before this VJP needs the value of this loss."""
    reached: set[Any] = {loss.outputs[0]}
    for call in graph.calls[graph.calls.index(loss) + 1 :]:
        if not reached.isdisjoint(call.values()):
            if str(call.op) not in AFFINE:
                return False
            reached.update(call.outputs)
    return graph.count not in reached and len(loss.inputs[0].shape) == 2


def _joined(graph: Graph, loss: Call, linear: Call, way: list[Call]) -> Graph:
    """``graph`` with the two, and what is between, as one call."""
    inputs = (*linear.inputs, *loss.inputs[1:])
    logits = loss.inputs[0]
    large = math.prod(logits.shape) * logits.dtype.itemsize > CHUNK_BYTES
    if not large or registry.find(OP, inputs, loss.attributes) is None:
        return graph
    op = torch.ops.distbp.linear_cross_entropy.default
    names = ("x", "W", "b", "target", "weight")
    call = Call(op, inputs, names, loss.attributes, loss.outputs, False, linear.path, f"{linear.kind} and the loss")
    dropped = {linear, *way}
    return replace(graph, calls=[call if c is loss else c for c in graph.calls if c not in dropped])
