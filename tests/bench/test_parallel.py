"""The contenders that several workers run do one and the same step, and none of them does it slower than it need."""

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any, cast

import pytest
import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from distbp.bench import contenders, parallel
from distbp.bench.contenders import LR, OPTIMIZERS, Autograd, Contender
from distbp.bench.models.case import Case, joined
from distbp.bench.models.table import build_for
from distbp.bench.parallel import Ours, PlainMpi, Replicated
from distbp.bench.rounds import Step
from distbp.bench.together import NAME, slice_length, together
from distbp.comm.base import Communicator
from distbp.comm.channel import channel
from distbp.comm.connect import join
from distbp.comm.mpi import MpiCommunicator
from distbp.comm.torch_dist import TorchCommunicator
from distbp.comm.world import World
from tests.pool import Pool

STEPS = 3
CONTENDERS: dict[str, Callable[[Case, Any, Any], Contender]] = {
    "ours": lambda case, comm, _: Ours(case, comm),
    "library": lambda case, comm, _: Ours(case, comm, reduction="library"),
    "sharded": lambda case, comm, _: Ours(case, comm, parts=2),
    "ddp": lambda case, _, gloo: Replicated(case, gloo),
    "late": lambda case, _, gloo: Replicated(case, gloo, overlap=False),
    "mpi4py": lambda case, comm, _: PlainMpi(case, comm),
}


@contextmanager
def gloo_beside(comm: Communicator) -> Iterator[TorchCommunicator]:
    """The same workers, joined by gloo as well."""
    world = World.detect()
    with closing(join(world, channel(world), kind="torch", device="cpu", timeout=60.0)) as gloo:
        yield cast(TorchCommunicator, gloo)


def mean_loss(case: Case) -> float:
    with torch.no_grad():
        loss_sum, count = cast(tuple[torch.Tensor, int], case.loss(case.module(*case.inputs), case.target))
    return float(loss_sum) / count


def losses(contender: Contender, batch: Case) -> list[float]:
    """Before and after each step, of the whole global batch."""
    found = [mean_loss(batch)]
    for _ in range(STEPS):
        contender.step()
        found.append(mean_loss(batch))
    return found


def losses_of_all(comm: Communicator, model: str, batch: int) -> dict[str, list[float]]:
    """Each contender's losses, and those of one process that has the batches of all workers."""
    cases = [build_for(rank, model, seed=0, batch=batch) for rank in range(comm.size)]
    plain = joined(cases)
    found = {"plain": losses(Autograd(plain), plain)}
    with gloo_beside(comm) as gloo:
        for name, make in CONTENDERS.items():
            case = build_for(comm.rank, model, seed=0, batch=batch)
            whole = joined([Case(case.module, c.loss, c.inputs, c.target, c.optimizer, c.batch_dim) for c in cases])
            found[name] = losses(make(case, comm, gloo), whole)
    return found


def losses_at_a_larger_rate(comm: Communicator, model: str, batch: int) -> dict[str, list[float]]:
    before = contenders.LR
    contenders.LR = parallel.LR = 1e-2  # type: ignore[attr-defined]
    try:
        return losses_of_all(comm, model, batch)
    finally:
        contenders.LR = parallel.LR = before  # type: ignore[attr-defined]


@pytest.mark.parametrize("model", ["mlp_small", "lstm_lm", "gpt_small", "neumf"])
def test_they_go_the_way_of_one_process(pool: Pool, model: str) -> None:
    """The loss on the global batch changes alike, step by step, at a rate at which a wrong sum shows."""
    for found in pool.run("mpi", 2, losses_at_a_larger_rate, model, 4):
        start, *plain = found.pop("plain")
        assert abs(plain[-1] - start) > 1e-5 * start
        for name, (begin, *theirs) in found.items():
            assert begin == start
            for ours, expected in zip(theirs, plain, strict=True):
                assert ours - start == pytest.approx(expected - start, rel=0.02, abs=1e-6 * start), name


def ddp_loop(case: Case, comm: MpiCommunicator, gloo: TorchCommunicator) -> Step:
    """As torch's tutorial has it, with a fused optimizer."""
    replica = DistributedDataParallel(case.module, process_group=gloo.group, gradient_as_bucket_view=True)
    optimizer = OPTIMIZERS[case.optimizer](replica.parameters(), lr=LR)

    def step() -> None:
        optimizer.zero_grad()
        loss_sum, count = cast(tuple[torch.Tensor, int], case.loss(replica(*case.inputs), case.target))
        (loss_sum / count).backward()
        optimizer.step()

    return step


def mpi_loop(case: Case, comm: MpiCommunicator, gloo: TorchCommunicator) -> Step:
    """As mpi4py's users have it: gradients into one array, summed, and back."""
    parameters = list(case.module.parameters())
    optimizer = OPTIMIZERS[case.optimizer](parameters, lr=LR)

    def step() -> None:
        optimizer.zero_grad()
        loss_sum, count = cast(tuple[torch.Tensor, int], case.loss(case.module(*case.inputs), case.target))
        (loss_sum / count).backward()
        flat = nn.utils.parameters_to_vector([cast(torch.Tensor, parameter.grad) for parameter in parameters])
        comm.all_reduce(flat, name=NAME).wait()
        flat /= comm.size
        for parameter, piece in zip(parameters, flat.split([p.numel() for p in parameters]), strict=True):  # type: ignore[no-untyped-call]
            parameter.grad = piece.view(parameter.shape)
        optimizer.step()

    return step


LOOPS = {"ddp": ddp_loop, "mpi4py": mpi_loop}


def quickest(comm: Communicator, name: str) -> list[float]:
    """Milliseconds a step of the contender and of the plain loop, of the best of some rounds."""
    assert isinstance(comm, MpiCommunicator)
    with gloo_beside(comm) as gloo:
        cases = [build_for(comm.rank, "neumf", seed=0) for _ in range(2)]
        steps = {"contender": CONTENDERS[name](cases[0], comm, gloo).step, "plain": LOOPS[name](cases[1], comm, gloo)}
        counts = {which: slice_length(step, comm) for which, step in steps.items()}
        times = together(steps, counts, comm, rounds=9)
    return [min(times["contender"]), min(times["plain"])]


@pytest.mark.parametrize("name", LOOPS)
def test_none_is_slower_than_the_loop_that_people_write(pool: Pool, name: str) -> None:
    contender, plain = pool.run("mpi", 2, quickest, name)[0]
    assert contender < 1.5 * plain
