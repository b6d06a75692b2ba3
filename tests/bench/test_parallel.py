"""The contenders that several workers run do one and the same step."""

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any, cast

import pytest
import torch

from distbp.bench import contenders, parallel
from distbp.bench.contenders import Autograd, Contender
from distbp.bench.models.case import Case, joined
from distbp.bench.models.table import build_for
from distbp.bench.parallel import Ours, PlainMpi, Replicated
from distbp.comm.base import Communicator
from distbp.comm.channel import channel
from distbp.comm.connect import join
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


@pytest.mark.parametrize("model", ["mlp_small", "lstm_lm", pytest.param("gpt_small", marks=pytest.mark.long), "neumf"])
def test_they_go_the_way_of_one_process(pool: Pool, model: str) -> None:
    """The loss on the global batch changes alike, step by step, at a rate at which a wrong sum shows."""
    for found in pool.run("mpi", 2, losses_at_a_larger_rate, model, 4):
        start, *plain = found.pop("plain")
        assert abs(plain[-1] - start) > 1e-5 * start
        for name, (begin, *theirs) in found.items():
            assert begin == start
            for ours, expected in zip(theirs, plain, strict=True):
                assert ours - start == pytest.approx(expected - start, rel=0.02, abs=1e-6 * start), name
