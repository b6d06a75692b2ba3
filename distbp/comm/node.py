"""A node: the ranks of a group that can share memory, however that is made."""

from abc import ABC, abstractmethod
from collections.abc import Callable

from torch import Tensor

from distbp.comm.base import Name
from distbp.comm.window import Nodes


class Node(ABC):
    """Node ``number`` of ``nodes``, on which this rank is at ``place``."""

    nodes: Nodes
    number: int
    place: int

    @property
    def alone(self) -> bool:
        """Whether nobody in the whole group has a neighbour."""
        return all(len(ranks) == 1 for ranks in self.nodes)

    def refusal(self, size: int) -> str | None:  # noqa: ARG002 - not every kind of memory has a place that may be full
        """Why the ranks cannot share blocks of ``size`` bytes, or None where they can as far as can be seen."""
        counts = [len(ranks) for ranks in self.nodes]
        if len(set(counts)) > 1:
            return f"the nodes have different numbers of workers ({', '.join(map(str, counts))})"
        return None

    @abstractmethod
    def allocate(self, size: int, *, name: Name) -> tuple[Tensor, ...]:
        """A block of ``size`` bytes for each rank of the node, on pages of its own; empty where there is no memory.

        Collective over all nodes.
        """

    @property
    @abstractmethod
    def fence(self) -> Callable[[], None]:
        """What any rank of the node wrote before it, all read after it; stands once memory has been allocated."""

    def give_back(self) -> None:  # noqa: B027 - memory may go by itself
        """Free the memory that nobody looks at any more. Collective over all nodes."""

    def give_up(self) -> None:  # noqa: B027 - memory may go by itself
        """Free what was allocated last, because another node did not get it. Collective over the node."""

    def close(self) -> None:  # noqa: B027 - memory may go by itself
        """Leave the node. Collective over all nodes."""
