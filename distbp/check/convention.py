"""Where torch calls a gradient what is none."""

from collections.abc import Iterator

from distbp.program.graph import Call, Graph


def conventional(call: Call) -> bool:
    """Whether torch defines the gradient otherwise than by the derivative.

    The padding row of an embedding is read and has no gradient; ``scale_grad_by_freq`` divides by how often a row is
    read. Such a call is compared with torch's tape alone.
    """
    padded = str(call.op) == "aten.embedding.default" and call.attributes.get("padding_idx", -1) >= 0
    return padded or bool(call.attributes.get("scale_grad_by_freq"))


def conventional_parameters(graph: Graph) -> Iterator[str]:
    """The names of the parameters that such calls read."""
    for call in graph.calls:
        if conventional(call):
            yield from (graph.slots[value].name for value in call.values() if value in graph.slots)
