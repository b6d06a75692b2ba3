"""Which values of a graph lie in the same memory, be it declared or not: the tensors of torch.export tell."""

from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch._ops import OpOverload
from torch.fx import Node

from distbp.program.graph import Value

aten = torch.ops.aten
WRITERS: Mapping[Any, OpOverload] = {
    aten.slice.Tensor: aten.slice_scatter.default,
    aten.select.int: aten.select_scatter.default,
}
"""Ops that show a part of a tensor, and those that make the tensor with another part."""


class Memory:
    """What lies where. Of a tensor that is changed in place the other views are stale: torch's show it, ours do not."""

    def __init__(self) -> None:
        self.stale: set[Value] = set()
        self._lying: dict[Hashable, set[Value]] = {}

    def note(self, node: Node, value: Any) -> None:
        """A node's ``value``, or each of several."""
        example = node.meta.get("val")
        if isinstance(value, tuple):
            places = [(one, its.untyped_storage()._cdata) for one, its in zip(value, example, strict=True) if one]  # type: ignore[arg-type]
        else:
            places = [(value, where_of(node))] if isinstance(example, Tensor) else []
        for one, where in places:
            self._lying.setdefault(where, set()).add(one)

    def all(self) -> frozenset[Hashable]:
        """Where anything lies."""
        return frozenset(self._lying)

    def changed(self, where: Hashable, before: Iterable[Value], now: Iterable[Value]) -> None:
        """What the tensors there that showed ``before`` show ``now``; all others there are stale."""
        self.stale |= self._lying[where] - {*before}
        self._lying[where] = {*now}


def where_of(node: Node) -> Hashable:
    """Where a node's tensor lies."""
    where = _storage(node)
    while node.op == "call_function" and isinstance(node.args[0], Node) and _storage(node.args[0]) == where:
        if node.target is aten.lift_fresh_copy.default:  # a copy, but torch.export has it lie in the constant's memory
            return node
        node = node.args[0]
    return where


def _storage(node: Node) -> Hashable:
    example = node.meta.get("val")
    return example.untyped_storage()._cdata if isinstance(example, Tensor) else None


def wholes(part: Node, first: Callable[[Node], Node]) -> list[tuple[Node, Node]]:
    """The tensor that ``part`` is a slice of, the one that this is a slice of, and so on; each after its slice."""
    found = []
    while (view := first(part)).target in WRITERS:
        found.append((view, view.args[0]))
        part = view.args[0]  # type: ignore[assignment]
    return found  # type: ignore[return-value]


def told(view: Node) -> dict[str, Any]:
    """Which part a view shows: its op's arguments by name, without the tensor."""
    _, *names = [argument.name for argument in view.target._schema.arguments]  # type: ignore[union-attr]
    return dict(zip(names, view.args[1:], strict=False)) | view.kwargs
