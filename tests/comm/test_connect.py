"""How a launch becomes a communicator: the channel's agreement, the choice of transport, and what is refused."""

import os
import subprocess
import sys
from typing import Any

import pytest
import torch

from distbp.comm import mpi
from distbp.comm.base import Communicator, Name
from distbp.comm.channel import channel, until
from distbp.comm.connect import Kind, choose, join, own_device, refuse_none, refuse_shared
from distbp.comm.world import World
from distbp.errors import JobError, RequestError
from tests.pool import Pool

NAME = Name(0, "connect")
LAUNCHED = [(kind, size) for kind in ("mpi", "torch") for size in (1, 2, 3)]
ALONE, MPIRUN, SRUN, TORCHRUN = World(), *(World(name, 0, 2, 0, 2) for name in ("mpirun", "srun", "torchrun"))

CHOICES: dict[str, tuple[World, Kind, str, str]] = {
    "alone": (ALONE, "auto", "cpu", "local"),
    "alone on a GPU": (ALONE, "auto", "cuda", "local"),
    "one rank of mpirun": (World("mpirun"), "auto", "cpu", "local"),
    "mpirun on CPUs": (MPIRUN, "auto", "cpu", "mpi"),
    "mpirun on GPUs": (MPIRUN, "auto", "cuda", "torch"),
    "srun on CPUs": (SRUN, "auto", "cpu", "mpi"),
    "srun on GPUs": (SRUN, "auto", "cuda", "torch"),
    "torchrun on CPUs": (TORCHRUN, "auto", "cpu", "torch"),
    "torchrun on GPUs": (TORCHRUN, "auto", "cuda", "torch"),
    "gloo under mpirun": (MPIRUN, "torch", "cpu", "torch"),
    "mpi for GPUs": (MPIRUN, "mpi", "cuda", "mpi"),
    "mpi alone": (ALONE, "mpi", "cpu", "mpi"),
    "local alone": (ALONE, "local", "cuda", "local"),
}
REFUSED: dict[str, tuple[World, Kind, str]] = {
    "local, two workers of mpirun": (MPIRUN, "local", "cpu"),
    "local, two workers of torchrun": (TORCHRUN, "local", "cpu"),
    "mpi under torchrun": (TORCHRUN, "mpi", "cpu"),
}


@pytest.mark.parametrize("case", CHOICES)
def test_choose(case: str) -> None:
    world, kind, device, expected = CHOICES[case]
    assert choose(world, kind, device) == expected


@pytest.mark.parametrize("case", REFUSED)
def test_what_does_not_fit_is_refused(case: str) -> None:
    world, kind, device = REFUSED[case]
    with pytest.raises(RequestError, match=f"^comm={kind}: "):
        choose(world, kind, device)


def test_a_gpu_for_each_worker_that_nccl_joins() -> None:
    with pytest.raises(RequestError, match=r"^device=cuda: .*rank 1"):
        refuse_none([True, False])
    with pytest.raises(RequestError, match=r"^workers=3: .* there are 2; .* comm=mpi"):
        refuse_shared(["a 1", "a 2", "a 1"])
    refuse_shared(["a 1", "a 2", "b 1"])


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_cuda_without_a_gpu_is_refused_and_auto_is_the_cpu() -> None:
    with pytest.raises(RequestError, match=r"^device=cuda: "):
        own_device(channel(World()), "cuda")
    assert own_device(channel(World()), "auto") == torch.device("cpu")


@pytest.mark.gpu
def test_a_gpu_alone() -> None:
    if not torch.cuda.is_available():
        pytest.skip("no GPU here")
    for kind in ("local", "torch", "mpi"):
        comm = join(World(), channel(World()), kind=kind, device="cuda", timeout=30.0)
        x = torch.arange(4.0, device=comm.device)
        comm.all_reduce(x, name=NAME).wait()
        comm.barrier(name=NAME)
        assert x.tolist() == [0.0, 1.0, 2.0, 3.0]
        assert comm.gather_json("ü", name=NAME) == ["ü"]
        comm.close()


def agrees_again_and_again(comm: Communicator) -> None:
    link = channel(World.detect())
    assert link is channel(World.detect().with_ranks_per_node(1)), "one channel in a process"
    for call in range(20):
        mine = {"call": call, "word": "ü" * 1000 * call}
        assert link.broadcast(mine if comm.rank == 0 else None) == mine
        assert link.gather([comm.rank] * (comm.rank + call)) == [[r] * (r + call) for r in range(comm.size)]


def joins_again_and_again(comm: Communicator, kinds: list[Any], ranks_per_node: int) -> None:
    world = World.detect().with_ranks_per_node(min(ranks_per_node, comm.size))
    for kind in kinds:
        other = join(world, channel(world), kind=kind, device="cpu", timeout=30.0)
        assert kind in (other.kind, "auto")
        x = torch.tensor([other.rank])
        other.all_reduce(x, name=NAME).wait()
        assert (other.rank, other.size, x.item()) == (comm.rank, comm.size, comm.size * (comm.size - 1) // 2)
        comm.barrier(name=NAME)  # the outer group is still there
        other.close()


def refuses_alike(comm: Communicator, kind: Any) -> list[str]:
    try:
        join(World.detect(), channel(World.detect()), kind=kind, device="cpu", timeout=30.0)
    except RequestError as refusal:
        return [refusal.key, str(refusal.value)]
    return []


@pytest.mark.parametrize(("kind", "size"), LAUNCHED)
def test_channel(pool: Pool, kind: str, size: int) -> None:
    pool.run(kind, size, agrees_again_and_again)


@pytest.mark.parametrize("ranks_per_node", [1, 4])
@pytest.mark.parametrize(("kind", "size"), LAUNCHED)
def test_join_again_and_again(pool: Pool, kind: str, size: int, ranks_per_node: int) -> None:
    kinds = ["auto", "mpi", "torch", "mpi", "torch"] if kind == "mpi" else ["auto", "torch", "torch"]
    pool.run(kind, size, joins_again_and_again, kinds, ranks_per_node)


@pytest.mark.parametrize(("kind", "wrong"), [("mpi", "local"), ("torch", "local"), ("torch", "mpi")])
def test_refusals_reach_every_rank(pool: Pool, kind: str, wrong: str) -> None:
    assert pool.run(kind, 2, refuses_alike, wrong) == [["comm", wrong]] * 2


OPEN = "from distbp.comm.channel import channel; from distbp.comm.world import World; channel(World.detect())"
MISSING_PACKAGE = "import sys; sys.modules['mpi4py'] = None; "
STEP = {"SLURM_STEP_ID": "0", "SLURM_PROCID": "1", "SLURM_STEP_NUM_TASKS": "2", "SLURM_LOCALID": "1",
        "SLURM_NODEID": "0", "SLURM_STEP_TASKS_PER_NODE": "2"}  # fmt: skip


@pytest.mark.parametrize(
    ("program", "environ", "named"),
    [
        pytest.param(OPEN, STEP, "srun started 2 processes, but MPI", id="srun without PMIx"),
        pytest.param(OPEN, STEP | {"MPI4PY_LIBMPI": "/nowhere"}, "comm=mpi: ", id="no MPI library"),
        pytest.param(MISSING_PACKAGE + OPEN, STEP, "comm=mpi: ", id="no mpi4py"),
    ],
)
def test_mpi_that_does_not_serve_is_refused(program: str, environ: dict[str, str], named: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    last = ended.stderr.strip().splitlines()[-1]
    assert last.startswith("distbp.errors.RequestError: ")
    assert named in last


def test_nothing_is_initialised_by_an_import() -> None:
    program = "import distbp.comm.connect, distbp.comm.mpi as m; assert not m.library().Is_initialized()"
    subprocess.run([sys.executable, "-c", program], timeout=60, check=True)
    assert mpi.memory(torch.ones(3, dtype=torch.bfloat16)).nbytes == 6


def test_a_rank_that_never_comes_is_waited_for_so_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("distbp.comm.channel.PATIENCE", 0.05)
    with pytest.raises(JobError, match="rank 1 failed at step 0 in phase start: it did not come within"):
        until(lambda: False, channel(ALONE).absent(1))
