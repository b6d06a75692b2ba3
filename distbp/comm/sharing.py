"""Communicators whose ranks share memory within a node, where they can."""

import sys
from abc import abstractmethod

from distbp.comm.base import Communicator, Name
from distbp.comm.node import Node
from distbp.comm.shared_memory import take
from distbp.comm.window import Window


class Sharing(Communicator):
    """A group that has a ``node`` (None: nothing is shared). Where it cannot share after all, one line says why."""

    def __init__(self, rank: int, size: int) -> None:
        super().__init__(rank, size)
        self.node: Node | None = None
        self._across: Communicator | None = None
        self._remarked = False

    def allocate(self, size: int, *, name: Name) -> Window:
        """In memory that the ranks of a node share, where every node has equally many ranks and enough memory."""
        node = self.node
        if node is None or node.alone or self._refused(node.refusal(size), name):
            return super().allocate(size, name=name)
        node.give_back()
        blocks = node.allocate(size, name=name)
        if self._refused(take(blocks[node.place]) if blocks else "the system has none for it", name):
            if blocks:
                node.give_up()
            return super().allocate(size, name=name)
        return Window(blocks, node.place, node.nodes, self.across(node), node.fence)

    def across(self, node: Node) -> Communicator:
        """This rank and those that have its place on the other nodes, in order of node. Collective."""
        if self._across is None:
            self._across = self._peers(node)
            self._across.board = self.board
        return self._across

    @abstractmethod
    def _peers(self, node: Node) -> Communicator:
        """A group of these ranks."""

    def _refused(self, reason: str | None, name: Name) -> bool:
        """Whether some rank has a reason against sharing memory; the first one is told once."""
        reasons = [told for told in self.gather_json(reason, name=name) if told]
        if reasons and self.rank == 0 and not self._remarked:
            print(f"distbp: gradients travel as messages, not in shared memory: {reasons[0]}", file=sys.stderr)
            self._remarked = True
        return bool(reasons)

    def _give_back(self) -> None:
        if self.node and not self.node.alone:
            self.node.give_back()

    def _close(self) -> None:
        """Leave the peers on other nodes, and then the node."""
        if self._across:
            self._across.close()
        if self.node:
            self.node.close()
