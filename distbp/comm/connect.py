"""From a launch to a communicator: which transport joins the workers, on which device, and how they find each other."""

import os
import secrets
import socket
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import torch

from distbp.comm import torch_dist
from distbp.comm import world as environment
from distbp.comm.base import Communicator
from distbp.comm.channel import Channel
from distbp.comm.channel_store import StoreChannel
from distbp.comm.local import LocalCommunicator
from distbp.comm.mpi import MpiCommunicator
from distbp.comm.staged import Staged
from distbp.comm.torch_dist import Store, TorchCommunicator
from distbp.comm.world import World
from distbp.errors import RequestError

Kind = Literal["auto", "local", "mpi", "torch"]
GRACE = 10.0  # s beyond comm.timeout for torch's own time-out: the watch, which knows the names, speaks first


def join(world: World, channel: Channel, *, kind: Kind, device: str, timeout: float) -> Communicator:
    """Join the workers of ``world`` in a communicator for tensors on ``device``: "cpu", "cuda" or "auto".

    Every rank calls it, as often as it likes, each time after closing the communicator before. ``timeout`` (seconds)
    is for one collective. RequestError where the launcher, the transport and the device do not fit.
    """
    place = own_device(channel, device)
    chosen = choose(world, kind, place.type)
    if chosen == "local":
        return LocalCommunicator(place)
    if chosen == "mpi":
        joined = MpiCommunicator.join(world)
        return joined if place.type == "cpu" else Staged(joined, place)
    if place.type == "cuda":
        refuse_shared(channel.gather(_identity(place.index)))
    store = _meeting(world, channel)
    return TorchCommunicator.join(world, store, device=place, timeout=timeout + GRACE)


def choose(world: World, kind: Kind, device: str) -> Kind:
    """The transport that ``kind`` means in this world. RequestError where it cannot be had."""
    if kind == "auto":
        return _best(world, device)
    if kind == "local" and world.size > 1:
        raise RequestError("comm", kind, f"auto, mpi or torch, with {world.size} workers")
    if kind == "mpi" and world.launcher == "torchrun":
        raise RequestError("comm", kind, "auto or torch under torchrun; mpirun or srun starts workers for mpi")
    return kind


def _best(world: World, device: str) -> Kind:
    if world.size == 1:
        return "local"
    return "torch" if device == "cuda" or world.launcher == "torchrun" else "mpi"


def own_device(channel: Channel, device: str) -> torch.device:
    """The device of this rank: its GPU by local rank, or the CPU; "auto" is a GPU where every rank has one.

    RequestError, on every rank alike, where "cuda" is asked for and a rank finds no GPU. A launcher may show each rank
    only its own, as index 0.
    """
    if device == "cpu":
        return torch.device("cpu")
    host = socket.gethostname()
    before = channel.gather(host)[: channel.rank].count(host)
    there = channel.gather(torch.cuda.is_available())
    if device == "auto" and not all(there):
        return torch.device("cpu")
    refuse_none(there)
    return torch.device("cuda", before % torch.cuda.device_count())


def _identity(index: int) -> str:
    """Which of all machines' GPUs is this machine's number ``index``."""
    return f"{socket.gethostname()} {torch.cuda.get_device_properties(index).uuid}"


def refuse_none(there: Sequence[bool]) -> None:
    """RequestError where some rank has no GPU."""
    if not all(there):
        raise RequestError("device", "cuda", f"cpu or auto: torch finds no GPU for rank {[*there].index(False)}")


def refuse_shared(gpus: Sequence[str]) -> None:
    """RequestError where two ranks have the same GPU: NCCL joins none of these."""
    if len(set(gpus)) < len(gpus):
        allowed = f"at most one for each GPU, of which there are {len(set(gpus))}; with comm=mpi workers may share one"
        raise RequestError("workers", len(gpus), allowed)


def _meeting(world: World, channel: Channel) -> Store:
    """Where the ranks exchange addresses: a store of this job's own, which rank 0 tells the others."""
    environment.prepare_gloo(world)
    if isinstance(channel, StoreChannel):
        return torch_dist.within(channel.store, channel.broadcast(secrets.token_hex(8)))
    if world.one_node:
        return torch_dist.file_store(Path(channel.broadcast(_new_file(world))), world.size)
    hosted = torch_dist.host_store() if world.rank == 0 else None
    address = channel.broadcast([socket.gethostname(), hosted.port] if hosted else None)
    return hosted or torch_dist.reach_store(*address)


def _new_file(world: World) -> str | None:
    if world.rank != 0:
        return None
    descriptor, path = tempfile.mkstemp(prefix="distbp-store-")
    os.close(descriptor)
    return path
