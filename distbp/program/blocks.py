"""Blocks of a graph that torch.export calls under a mode of their own, put in the place of their calls.

``with torch.no_grad():`` and ``with torch.autocast(..., enabled=False):`` in a module's forward are such blocks.
"""

from typing import Any

import torch
from torch.fx import GraphModule, Node

from distbp.errors import RequestError

GRAD = torch.ops.higher_order.wrap_with_set_grad_enabled
AUTOCAST = torch.ops.higher_order.wrap_with_autocast
NO_GRAD = "distbp_no_grad"
"""The key, in a node's ``meta``, of whether the node stood in a block of no_grad."""
NO_AUTOCAST = "distbp_no_autocast"
"""And of whether it stood in one that turns autocast off."""


def opened(module: GraphModule) -> None:
    """Open every block in ``module``, those within blocks first.

    Raises RequestError for autocast that is on: which ops it would cast is not in the graph.
    """
    for node in list(module.graph.nodes):
        if node.target is GRAD:
            enabled, body, *given = node.args
            _open(module, node, body, given, {NO_GRAD: not enabled})
        elif node.target is AUTOCAST:
            device, _, enabled, _, body, *given = node.args
            if enabled:
                raise _autocast(device)
            _open(module, node, body, given, {NO_AUTOCAST: True})


def _open(module: GraphModule, node: Node, body: Node, given: list[Any], mode: dict[str, bool]) -> None:
    """The nodes of ``body``, marked with the mode, in the place of ``node``, which calls it with what is given."""
    inner = getattr(module, str(body.target))
    opened(inner)
    placeholders = [n for n in inner.graph.nodes if n.op == "placeholder"]
    for n in inner.graph.nodes:
        n.meta = {**mode, **n.meta}
    with module.graph.inserting_before(node):
        results: Any = module.graph.graph_copy(inner.graph, dict(zip(placeholders, given, strict=True)))
    for reader in list(node.users):
        reader.replace_all_uses_with(results[reader.args[1]])
        module.graph.erase_node(reader)
    module.graph.erase_node(node)


def _autocast(device: str) -> RequestError:
    allowed = (
        f"forward turns torch.autocast on for {device}, and what that casts is hidden from a program; engine=autograd "
        "runs the module itself"
    )
    return RequestError("engine", "manual", allowed)
