"""What every communicator can do: MPI's collectives on tensors, in place, each carrying its name.

Collectives come in transposed pairs, and the transpose of a pair is the other one:
``broadcast``/``reduce``, ``all_gather``/``reduce_scatter``; ``all_reduce``, ``all_to_all`` are their own.

N ranks (``size``), n elements of a tensor.
"""

import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple, final

import torch
from torch import Tensor

from distbp.comm.board import Board
from distbp.comm.window import Window, zeros

Op = Literal["sum", "max", "min"]


class Name(NamedTuple):
    """The name of a collective: what a hang or a mismatch is reported as."""

    step: int
    phase: str
    bucket: int = 0

    def __str__(self) -> str:
        return f"step {self.step}, phase {self.phase}, bucket {self.bucket}"


class Work(ABC):
    """A collective that has begun. Its tensors may be read only after ``wait``."""

    @abstractmethod
    def wait(self) -> None:
        """Return when the collective is complete on this rank."""


class Done(Work):
    """A collective that was complete when it returned."""

    def wait(self) -> None:
        """Return at once."""


DONE = Done()


class Tracked(Work):
    """A collective that leaves the board when it is complete."""

    def __init__(self, work: Work, board: Board) -> None:
        self.work = work
        self.board = board

    def wait(self) -> None:
        """Return when the collective is complete on this rank."""
        self.work.wait()
        self.board.leave()


class Communicator(ABC):
    """A group of ``size`` ranks, of which this is ``rank``.

    Every tensor is contiguous. Every rank issues the same collectives in the same order, with equal shapes and
    dtypes. Each collective is entered on the board before it begins, so that a rank that waits can be told from one
    that never came, and a rank that has entered another collective from the others.
    """

    kind: str
    device = torch.device("cpu")  # where the tensors of its collectives live

    def __init__(self, rank: int, size: int) -> None:
        self.rank = rank
        self.size = size
        self.board = Board.private()
        self._closed = False

    def all_reduce(self, tensor: Tensor, *, name: Name, op: Op = "sum") -> Work:
        """``x_r <- op_s x_s`` on every rank, in the library's own order of summation.   (n)->(n)."""
        self.board.enter(name, f"all_reduce({op})", tensor.dtype, tensor.numel())
        return self._track(self._all_reduce(tensor, op))

    def reduce_scatter(self, output: Tensor, tensor: Tensor, *, name: Name, op: Op = "sum") -> Work:
        """``y_r = op_s x_s[r]``: block r of the reduced tensor.   (N n)->(n)."""
        self.board.enter(name, f"reduce_scatter({op})", output.dtype, output.numel())
        return self._track(self._reduce_scatter(output, tensor, op))

    def all_gather(self, output: Tensor, tensor: Tensor, *, name: Name) -> Work:
        """``y_r[s] = x_s``: every rank's block, in order of rank.   (n)->(N n)."""
        self.board.enter(name, "all_gather", tensor.dtype, tensor.numel())
        return self._track(self._all_gather(output, tensor))

    def all_to_all(
        self, output: Tensor, tensor: Tensor, *, name: Name, received: Sequence[int], sent: Sequence[int]
    ) -> Work:
        """``y_r[s] = x_s[r]``: from each rank s its block for r, in order of rank.

        ``tensor`` holds ``sent[s]`` elements for each rank s, ``output`` receives ``received[s]`` from it.
        """
        self.board.enter(name, "all_to_all", tensor.dtype)
        return self._track(self._all_to_all(output, tensor, received, sent))

    def broadcast(self, tensor: Tensor, *, name: Name, root: int = 0) -> Work:
        """``x_r <- x_root`` on every rank.   (n)->(n)."""
        self.board.enter(name, f"broadcast({root})", tensor.dtype, tensor.numel())
        return self._track(self._broadcast(tensor, root))

    def barrier(self, *, name: Name) -> None:
        """Return when every rank has entered."""
        self.board.enter(name, "barrier")
        self._track(self._barrier()).wait()

    def allocate(self, size: int, *, name: Name) -> Window:  # noqa: ARG002 - it is for those who agree on it
        """``size`` bytes for each rank, the same number on every one, shared on a node where the transport can.

        Collective.
        """
        return Window.private(zeros(size, self.device), self)

    @final
    def give_back(self) -> None:
        """The memory of windows at which no rank looks any more goes back to the system. Collective."""
        if not self._closed:
            self._give_back()

    def _give_back(self) -> None:  # noqa: B027 - most transports hold nothing
        """As ``give_back``, before the group is left."""

    @final
    def close(self) -> None:
        """Leave the group in order. Every rank closes, once or more often; nothing is sent afterwards."""
        if not self._closed:
            self._closed = True
            self._close()

    def _close(self) -> None:  # noqa: B027 - most transports hold nothing
        """Give back what the transport holds."""

    # What passes between ranks besides tensors is JSON, never a pickle.

    @final
    def broadcast_json(self, value: Any, *, name: Name, root: int = 0) -> Any:
        """The root's ``value`` on every rank; the others' is ignored. Any value that JSON can hold."""
        text = encode(value).to(self.device) if self.rank == root else torch.empty(0, dtype=torch.uint8)
        length = torch.tensor([text.numel()], dtype=torch.int64, device=self.device)
        self.broadcast(length, name=name, root=root).wait()
        if self.rank != root:
            text = torch.empty(int(length.item()), dtype=torch.uint8, device=self.device)
        self.broadcast(text, name=name, root=root).wait()
        return decode(text)

    @final
    def gather_json(self, value: Any, *, name: Name) -> list[Any]:
        """Every rank's ``value``, in order of rank, on every rank. Any values that JSON can hold."""
        text = encode(value).to(self.device)
        lengths = torch.empty(self.size, dtype=torch.int64, device=self.device)
        mine = torch.tensor([text.numel()], dtype=torch.int64, device=self.device)
        self.all_gather(lengths, mine, name=name).wait()
        longest = int(lengths.max().item())
        texts = torch.empty(self.size * longest, dtype=torch.uint8, device=self.device)
        padded = torch.zeros(longest, dtype=torch.uint8, device=self.device)
        padded[: text.numel()] = text
        self.all_gather(texts, padded, name=name).wait()
        blocks = zip(texts.view(self.size, -1), lengths.tolist(), strict=True)
        return [decode(block[:length]) for block, length in blocks]

    def _track(self, work: Work) -> Work:
        if work is DONE:
            self.board.leave()
            return work
        return Tracked(work, self.board)

    @abstractmethod
    def _all_reduce(self, tensor: Tensor, op: Op) -> Work: ...

    @abstractmethod
    def _reduce_scatter(self, output: Tensor, tensor: Tensor, op: Op) -> Work: ...

    @abstractmethod
    def _all_gather(self, output: Tensor, tensor: Tensor) -> Work: ...

    @abstractmethod
    def _all_to_all(self, output: Tensor, tensor: Tensor, received: Sequence[int], sent: Sequence[int]) -> Work: ...

    @abstractmethod
    def _broadcast(self, tensor: Tensor, root: int) -> Work: ...

    @abstractmethod
    def _barrier(self) -> Work: ...


def encode(value: Any) -> Tensor:
    """``value`` as JSON, as bytes.   -> (n) uint8."""
    return torch.frombuffer(bytearray(json.dumps(value).encode()), dtype=torch.uint8)


def decode(text: Tensor) -> Any:
    """The value whose JSON ``text`` is.   (n) uint8 ->."""
    return json.loads(bytes(text.cpu().numpy()))
