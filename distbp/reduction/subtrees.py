"""Who sums what alone: the subtrees of each worker and of each node, and the sums between the workers of a node."""

from functools import lru_cache
from typing import NamedTuple

from distbp.comm.window import Nodes
from distbp.data.order import leaves
from distbp.reduction.tree import Node, tree


class Place(NamedTuple):
    """Slot ``slot`` of the worker at place ``worker`` of a node."""

    worker: int
    slot: int


class Sums(NamedTuple):
    """What the owner of a share adds up within its node: ``into += other`` for each pair, in order.

    ``roots`` are the places that hold the node's own subtrees then, from left to right.
    """

    pairs: tuple[tuple[Place, Place], ...]
    roots: tuple[Place, ...]


@lru_cache(maxsize=256)
def subtrees(present: tuple[bool, ...], nodes: Nodes) -> tuple[tuple[Node, ...], ...]:
    """For each of the groups of ranks, which together are all ranks, the subtrees that it sums alone."""
    size = sum(map(len, nodes))
    return tuple(
        tree(present).subtrees({leaf for rank in ranks for leaf in leaves(len(present), size, rank)}) for ranks in nodes
    )


@lru_cache(maxsize=256)
def sums(present: tuple[bool, ...], nodes: Nodes, number: int) -> Sums:
    """The sums within node ``number``; a worker's subtrees lie in its first slots, from left to right."""
    size = sum(map(len, nodes))
    each = subtrees(present, ranks(size))
    places = {
        node: Place(worker, slot) for worker, rank in enumerate(nodes[number]) for slot, node in enumerate(each[rank])
    }
    pairs: list[tuple[Place, Place]] = []

    def add(left: Place, right: Place) -> Place:
        pairs.append((left, right))
        return left

    roots = [tree(present).fold(places, add, at=node) for node in subtrees(present, nodes)[number]]
    return Sums(tuple(pairs), tuple(root for root in roots if root is not None))


@lru_cache(maxsize=256)
def ranks(size: int) -> Nodes:
    """Every rank as a node by itself."""
    return tuple((rank,) for rank in range(size))
