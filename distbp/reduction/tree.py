"""The order of a sum: one complete binary tree over the parts of a batch, whoever holds them.

Leaf v is part v. An inner node is the sum of its left and its right child; an absent child (an empty part, or no part
at all) is not added, not even as zero. So the bits of the root are a function of the parts alone: any set of workers
that each hold consecutive leaves comes to the same sum.
"""

from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Node:
    """The subtree over leaves ``index << level`` to ``(index + 1) << level``."""

    level: int
    index: int

    @property
    def leaves(self) -> range:
        """The leaves under this node, whether or not there is a part for each."""
        return range(self.index << self.level, (self.index + 1) << self.level)

    @property
    def children(self) -> "tuple[Node, Node]":
        """The left and the right child of an inner node."""
        return Node(self.level - 1, 2 * self.index), Node(self.level - 1, 2 * self.index + 1)


class Tree:
    """The tree over as many leaves as ``present`` has entries, of which those that are True take part."""

    def __init__(self, present: Sequence[bool]) -> None:
        self.present = tuple(v for v, there in enumerate(present) if there)
        self.root = Node(max(len(present) - 1, 0).bit_length(), 0)

    def subtrees(self, held: Container[int]) -> tuple[Node, ...]:
        """The largest subtrees whose present leaves all lie in ``held``, from left to right."""
        return tuple(self._subtrees(self.root, held))

    def _subtrees(self, node: Node, held: Container[int]) -> list[Node]:
        under = [v for v in self.present if v in node.leaves]
        if not any(v in held for v in under):
            return []
        if all(v in held for v in under):
            return [node]
        left, right = node.children
        return self._subtrees(left, held) + self._subtrees(right, held)

    def merges(self, held: range) -> dict[int, int]:
        """How many sums follow leaf v when the held leaves are taken in order: {v: number of sums}.

        The leaves go onto a stack, and each sum adds the topmost entry to the one below it, as a binary counter
        carries; what remains on the stack are the ``subtrees``.
        """
        sums = dict.fromkeys((v for v in self.present if v in held), 0)
        for node in self.subtrees(held):
            self._count(node, sums)
        return sums

    def _count(self, node: Node, sums: dict[int, int]) -> list[int]:
        """The present leaves under ``node``; each sum is counted at the last leaf that it needs."""
        if node.level == 0:
            return [node.index] if node.index in sums else []
        left, right = (self._count(child, sums) for child in node.children)
        if left and right:
            sums[right[-1]] += 1
        return left + right

    def fold(self, values: Mapping[Node, T], add: Callable[[T, T], T], *, at: Node | None = None) -> T | None:
        """The value of the root, or of the node ``at``, given those of subtrees that cover the present leaves under it.

        None if none is present.
        """
        return self._fold(at or self.root, values, add)

    def _fold(self, node: Node, values: Mapping[Node, T], add: Callable[[T, T], T]) -> T | None:
        if node in values:
            return values[node]
        if node.level == 0:
            return None
        left, right = (self._fold(child, values, add) for child in node.children)
        if left is None or right is None:
            return left if right is None else right
        return add(left, right)


@lru_cache(maxsize=256)
def tree(present: tuple[bool, ...]) -> Tree:
    """The tree over these leaves; the batches of a run have few different ones."""
    return Tree(present)
