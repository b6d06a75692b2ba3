"""Where torch calls a gradient what is none."""

from collections.abc import Iterator

from distbp.program.graph import Call, Graph, needed
from distbp.program.schedule import SHAPES_ONLY, Schedule

NUMBERLESS = SHAPES_ONLY - {"detach"}


def conventional(call: Call) -> bool:
    """Whether torch defines the gradient otherwise than by the derivative.

    The padding row of an embedding is read and has no gradient; ``scale_grad_by_freq`` divides by how often a row is
    read. Such a call is compared with torch's tape alone.
    """
    padded = str(call.op) == "aten.embedding.default" and call.attributes.get("padding_idx", -1) >= 0
    return padded or bool(call.attributes.get("scale_grad_by_freq"))


def stops(graph: Graph, plan: Schedule) -> bool:
    """Whether the loss depends on a parameter in a way that the model has cut (``detach``): then what is called its
    gradient is none of the loss.
    """
    moving = {value for value, slot in graph.slots.items() if slot.trainable}
    for call in needed(graph.calls, [graph.loss_sum]):
        floats = [v for v in call.outputs if v is not None and v.dtype.is_floating_point]
        if moving.isdisjoint(call.values()) or str(call.op).split(".")[1] in NUMBERLESS:
            continue
        if floats and call not in plan.rules:
            return True
        moving.update(floats)
    return False


def conventional_parameters(graph: Graph) -> Iterator[str]:
    """The names of the parameters that such calls read."""
    for call in graph.calls:
        if conventional(call):
            yield from (graph.slots[value].name for value in call.values() if value in graph.slots)
