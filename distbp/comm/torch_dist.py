"""torch.distributed: gloo between CPUs, NCCL between GPUs. The only importer of torch.distributed."""

import gc
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed import FileStore, PrefixStore, Store, TCPStore  # type: ignore[attr-defined]

from distbp.comm.base import DONE, Communicator, Name, Op, Work
from distbp.comm.local import LocalCommunicator
from distbp.comm.memory_node import MemoryNode
from distbp.comm.node import Node
from distbp.comm.payload import HALVES, flat, widened
from distbp.comm.sharing import Sharing
from distbp.comm.world import Rendezvous, World

__all__ = ["Store", "TorchCommunicator", "agent_store", "file_store", "host_store", "reach_store", "within"]

REACH = timedelta(seconds=60)  # for the first connection to a store
LONGEST = 1e6  # s: torch takes no time-out without end
OPS = {"sum": dist.ReduceOp.SUM, "max": dist.ReduceOp.MAX, "min": dist.ReduceOp.MIN}

# torch 2.13 renamed two collectives and deprecates the old names, which are all that earlier versions have.
all_gather_single: Callable[..., Any] = getattr(dist, "all_gather_single", dist.all_gather_into_tensor)
reduce_scatter_single: Callable[..., Any] = getattr(dist, "reduce_scatter_single", dist.reduce_scatter_tensor)


class TorchWork(Work):
    """A collective that torch.distributed runs, and what remains to be done when it is complete."""

    def __init__(self, work: dist.Work, then: Callable[[], object] = lambda: None) -> None:
        self.work = work
        self.then = then

    def wait(self) -> None:
        """Return when the collective is complete on this rank (NCCL: on this rank's current stream)."""
        self.work.wait()
        self.then()


class TorchCommunicator(Sharing):
    """A process group of torch.distributed: NCCL where ``device`` is a GPU, gloo where it is the CPU.

    It is the default group, or one of its own in a program that has made the default group already. Between CPUs the
    ranks of a node share memory.
    """

    kind = "torch"

    def __init__(self, group: dist.ProcessGroup, device: torch.device, store: Store | None = None) -> None:
        super().__init__(group.rank(), group.size())
        self.device = device
        self._store = store  # rank 0 may serve it: it lives as long as the group
        self._group = group

    @classmethod
    def join(cls, world: World, store: Store, *, device: torch.device, timeout: float) -> "TorchCommunicator":
        """The group of all ranks of ``world``, who meet at ``store``. Collective."""
        comm = cls(_group(store, world, device, timedelta(seconds=min(timeout, LONGEST))), device, store)
        if device.type == "cpu":
            comm.node = MemoryNode(world, comm.gather_json, name=Name(0, "start"))
        return comm

    @property
    def group(self) -> dist.ProcessGroup:
        """torch's own group of these ranks, for libraries that want one."""
        return self._group

    def _close(self) -> None:
        """Destroy the group, so that another can be made."""
        super()._close()
        if dist.is_initialized():  # the default group takes those made from it along
            dist.destroy_process_group(self._group)
        del self._group, self._store
        gc.collect()  # one in a cycle (a DistributedDataParallel has one) would live on to the end, and abort it

    def _peers(self, node: Node) -> Communicator:
        if len(node.nodes) == 1:
            return LocalCommunicator(self.device)
        # Every rank makes the groups of all places, in their order, as torch wants it.
        groups = [dist.new_group(list(ranks), backend="gloo") for ranks in zip(*node.nodes, strict=True)]
        return TorchCommunicator(groups[node.place], self.device)

    def _all_reduce(self, tensor: Tensor, op: Op) -> Work:
        row = flat(tensor)
        wide = widened(row)
        work = dist.all_reduce(wide, OPS[op], group=self._group, async_op=True)
        return TorchWork(work, lambda: None if wide is row else row.copy_(wide))

    def _reduce_scatter(self, output: Tensor, tensor: Tensor, op: Op) -> Work:
        row, half = flat(output), output.dtype in HALVES
        wide = torch.empty_like(row, dtype=torch.float32) if half else row
        work = reduce_scatter_single(wide, widened(flat(tensor)), OPS[op], group=self._group, async_op=True)
        return TorchWork(work, lambda: row.copy_(wide) if half else None)

    def _all_gather(self, output: Tensor, tensor: Tensor) -> Work:
        return TorchWork(all_gather_single(flat(output), flat(tensor), group=self._group, async_op=True))

    def _all_to_all(self, output: Tensor, tensor: Tensor, received: Sequence[int], sent: Sequence[int]) -> Work:
        return TorchWork(
            dist.all_to_all_single(
                flat(output), flat(tensor), list(received), list(sent), group=self._group, async_op=True
            )
        )

    def _broadcast(self, tensor: Tensor, root: int) -> Work:
        return TorchWork(dist.broadcast(flat(tensor), root, group=self._group, async_op=True))

    def _barrier(self) -> Work:
        if self.device.type == "cuda":
            self._all_reduce(torch.zeros(1, device=self.device), "sum").wait()
            torch.cuda.synchronize(self.device)
            return DONE
        return TorchWork(dist.barrier(self._group, async_op=True))


def _group(store: Store, world: World, device: torch.device, timeout: timedelta) -> dist.ProcessGroup:
    gpu = device if device.type == "cuda" else None
    backend = "nccl" if gpu else "gloo"
    if gpu:
        torch.cuda.set_device(gpu)
    if dist.is_initialized():
        group = dist.new_group(backend=backend, timeout=timeout, device_id=gpu)
    else:
        dist.init_process_group(
            backend, store=store, rank=world.rank, world_size=world.size, timeout=timeout, device_id=gpu
        )
        group = dist.group.WORLD
    assert isinstance(group, dist.ProcessGroup)
    return group


def agent_store(meeting: Rendezvous) -> Store:
    """The store that torchrun's agent runs, in a room of this attempt: an earlier one left its addresses there."""
    store = TCPStore(meeting.host, meeting.port, is_master=False, timeout=REACH)
    return PrefixStore(f"distbp/attempt/{meeting.attempt}", store)


def within(store: Store, room: str) -> Store:
    """A room of ``store`` whose keys meet no others."""
    return PrefixStore(room, store)


def file_store(path: Path, size: int) -> Store:
    """A store in a file that the ranks of one node open: nothing listens on the network."""
    return FileStore(str(path), size)


def host_store() -> TCPStore:
    """A store that this process serves, on a free port of every interface, for ranks on several nodes."""
    return TCPStore("localhost", 0, is_master=True, wait_for_workers=False)


def reach_store(host: str, port: int) -> Store:
    """The store that rank 0 serves at ``host``."""
    return TCPStore(host, port, is_master=False, timeout=REACH)
