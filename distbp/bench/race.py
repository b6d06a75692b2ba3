"""The race of whole training steps: the contenders that run in these workers, in turns."""

import gc
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from distbp.bench.contenders import Autograd, Contender
from distbp.bench.models.table import build_for
from distbp.bench.parallel import Ours, PlainMpi, Replicated
from distbp.bench.rounds import Times
from distbp.bench.together import slice_length, together
from distbp.comm.base import Communicator
from distbp.comm.mpi import MpiCommunicator
from distbp.comm.torch_dist import TorchCommunicator

PARTS = 2  # of each worker, where shards are twice the workers


@dataclass(frozen=True)
class Contest:
    """Who is raced, and how: each worker on ``threads`` threads, over ``rounds`` rounds."""

    models: tuple[str, ...]
    rounds: int
    seed: int
    workers: int
    threads: int
    cores: Sequence[int] = ()  # that a process apart may use; all that it finds where none is named


def race(contest: Contest, comm: Communicator, gloo: TorchCommunicator) -> dict[str, Times]:
    """The times of each contender, model by model. Collective."""
    torch.set_num_threads(contest.threads)
    times = {model: race_of(model, contest, comm, gloo) for model in contest.models}
    gc.collect()  # replicas hold gloo's group in circles: they go before the caller closes it, not as the process ends
    return times


def race_of(model: str, contest: Contest, comm: Communicator, gloo: TorchCommunicator) -> Times:
    """The times of each contender on one model. Collective."""
    steps = {name: contender.step for name, contender in contenders(model, contest.seed, comm, gloo)}
    counts = {name: slice_length(step, comm) for name, step in steps.items()}
    return together(steps, counts, comm, rounds=contest.rounds)


def contenders(model: str, seed: int, comm: Communicator, gloo: TorchCommunicator) -> Iterator[tuple[str, Contender]]:
    """The ways to train a model here, each with a module of its own, all equal in the beginning. Collective."""
    yield "ours", Ours(build_for(comm.rank, model, seed=seed), comm)
    yield "ddp", Replicated(build_for(comm.rank, model, seed=seed), gloo)
    yield "late", Replicated(build_for(comm.rank, model, seed=seed), gloo, overlap=False)
    if isinstance(comm, MpiCommunicator):
        yield "mpi4py", PlainMpi(build_for(comm.rank, model, seed=seed), comm)
    yield "alone", Autograd(build_for(comm.rank, model, seed=seed))
    yield "library", Ours(build_for(comm.rank, model, seed=seed), comm, reduction="library")
    yield "sharded", Ours(build_for(comm.rank, model, seed=seed), comm, parts=PARTS)
