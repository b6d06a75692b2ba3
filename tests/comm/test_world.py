"""World.detect, as a table of the environments that launchers make."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distbp.comm.world import World, children, rendezvous, speaks
from distbp.errors import RequestError


def open_mpi(rank: int, size: int, local_rank: int, local_size: int) -> dict[str, str]:
    names = ("RANK", "SIZE", "LOCAL_RANK", "LOCAL_SIZE")
    values = zip(names, (rank, size, local_rank, local_size), strict=True)
    return {f"OMPI_COMM_WORLD_{name}": str(value) for name, value in values}


def torchrun(rank: int, size: int, local_rank: int, local_size: int) -> dict[str, str]:
    names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")
    numbers = map(str, (rank, size, local_rank, local_size))
    return {"TORCHELASTIC_RUN_ID": "none", **dict(zip(names, numbers, strict=True))}


def hydra(rank: int, size: int, local_rank: int, local_size: int) -> dict[str, str]:
    names = ("PMI_RANK", "PMI_SIZE", "MPI_LOCALRANKID", "MPI_LOCALNRANKS")
    return dict(zip(names, map(str, (rank, size, local_rank, local_size)), strict=True))


def pals(rank: int, size: int, local_rank: int, local_size: int) -> dict[str, str]:
    names = ("PMI_RANK", "PMI_SIZE", "PMI_LOCAL_RANK", "PMI_LOCAL_SIZE")
    return dict(zip(names, map(str, (rank, size, local_rank, local_size)), strict=True))


ALLOCATION = {"SLURM_JOB_ID": "7", "SLURM_NTASKS": "6", "SLURM_TASKS_PER_NODE": "3(x2)", "SLURM_NNODES": "2"}
BATCH = ALLOCATION | {"SLURM_PROCID": "0", "SLURM_LOCALID": "0", "SLURM_NODEID": "0"}


def step(rank: int, size: int, local_rank: int, node: int, tasks: str) -> dict[str, str]:
    return ALLOCATION | {
        "SLURM_STEP_ID": "0",
        "SLURM_PROCID": str(rank),
        "SLURM_STEP_NUM_TASKS": str(size),
        "SLURM_NTASKS": str(size),
        "SLURM_LOCALID": str(local_rank),
        "SLURM_NODEID": str(node),
        "SLURM_STEP_TASKS_PER_NODE": tasks,
    }


STEP = step(4, 7, 0, 1, "4,3")

ENVIRONMENTS: dict[str, tuple[dict[str, str], World]] = {
    "nothing": ({}, World()),
    "Open MPI": (open_mpi(3, 4, 1, 2), World("mpirun", 3, 4, 1, 2)),
    "Open MPI, one rank": (open_mpi(0, 1, 0, 1), World("mpirun", 0, 1, 0, 1)),
    "MPICH or Intel MPI": (hydra(3, 4, 1, 2), World("mpirun", 3, 4, 1, 2)),
    "Cray PALS": (pals(3, 4, 1, 2), World("mpirun", 3, 4, 1, 2)),
    "torchrun": (torchrun(3, 4, 1, 2), World("torchrun", 3, 4, 1, 2)),
    "srun": (STEP, World("srun", 4, 7, 0, 3)),
    "srun, nodes alike": (step(5, 6, 1, 2, "2(x3)"), World("srun", 5, 6, 1, 2)),
    "srun without the step's own size": (
        {k: v for k, v in STEP.items() if k != "SLURM_STEP_NUM_TASKS"},
        World("srun", 4, 7, 0, 3),
    ),
    "srun with PMI-2": (STEP | {"PMI_RANK": "4", "PMI_SIZE": "7"}, World("srun", 4, 7, 0, 3)),
    "a SLURM allocation": (ALLOCATION, World()),
    "a batch script": (BATCH, World()),
    "a batch script, as some versions number it": (BATCH | {"SLURM_STEP_ID": "4294967291"}, World()),
    "an interactive step": (BATCH | {"SLURM_STEP_ID": "4294967290"}, World()),
    "srun --pty bash": (step(0, 1, 0, 0, "1"), World()),
    "mpirun within an allocation": (BATCH | open_mpi(1, 6, 1, 3), World("mpirun", 1, 6, 1, 3)),
    "mpirun whose daemons srun starts": (step(1, 2, 0, 1, "1(x2)") | open_mpi(5, 6, 2, 3), World("mpirun", 5, 6, 2, 3)),
    "mpiexec.hydra whose proxies srun starts": (
        step(1, 2, 0, 1, "1,1") | hydra(5, 6, 2, 3),
        World("mpirun", 5, 6, 2, 3),
    ),
    "torchrun within srun": (step(1, 2, 0, 1, "1(x2)") | torchrun(5, 8, 1, 4), World("torchrun", 5, 8, 1, 4)),
    "a size of one set by hand": ({"RANK": "0", "WORLD_SIZE": "1"}, World()),
    "a job of our own launcher": (
        open_mpi(0, 2, 0, 2) | {"DISTBP_JOB": "/tmp/job"},
        World("mpirun", 0, 2, 0, 2, Path("/tmp/job")),
    ),
}

WRONG: dict[str, tuple[dict[str, str], str]] = {
    "two launchers": (open_mpi(0, 2, 0, 2) | torchrun(0, 2, 0, 2), "mpirun with torchrun"),
    "two launchers, by hydra": (hydra(0, 2, 0, 2) | torchrun(0, 2, 0, 2), "mpirun with torchrun"),
    "rank beyond size": (open_mpi(2, 2, 0, 2), "OMPI_COMM_WORLD_RANK=2"),
    "local rank beyond its node": (torchrun(1, 2, 2, 2), "torchrun says"),
    "a node larger than the world": (open_mpi(0, 2, 0, 4), "mpirun says"),
    "not a number": (open_mpi(0, 2, 0, 2) | {"OMPI_COMM_WORLD_SIZE": "two"}, "OMPI_COMM_WORLD_SIZE=two"),
    "negative": (torchrun(0, 2, 0, 2) | {"RANK": "-1"}, "RANK=-1"),
    "other digits": (torchrun(0, 2, 0, 2) | {"WORLD_SIZE": "٢"}, "WORLD_SIZE=٢"),
    "empty": (torchrun(0, 2, 0, 2) | {"LOCAL_RANK": ""}, "LOCAL_RANK="),
    "a list of tasks that is none": (STEP | {"SLURM_STEP_TASKS_PER_NODE": "4(y2)"}, "SLURM_STEP_TASKS_PER_NODE=4(y2)"),
    "a node that is not in the list": (STEP | {"SLURM_NODEID": "2"}, "SLURM_NODEID=2"),
    "ranks that nobody launched": ({"RANK": "0", "WORLD_SIZE": "2"}, "WORLD_SIZE=2"),
}

COMPLETE = {
    "mpirun": open_mpi(0, 2, 0, 2),
    "hydra": hydra(0, 2, 0, 2),
    "srun": {k: v for k, v in STEP.items() if k in STEP.keys() - ALLOCATION.keys() - {"SLURM_STEP_NUM_TASKS"}},
    "torchrun": torchrun(0, 2, 0, 2),
}
NOT_NEEDED = {"TORCHELASTIC_RUN_ID", "SLURM_STEP_ID"}  # without it there is no launch


@pytest.mark.parametrize("case", ENVIRONMENTS)
def test_detect(case: str) -> None:
    environ, expected = ENVIRONMENTS[case]
    assert World.detect(environ) == expected


@pytest.mark.parametrize("case", WRONG)
def test_wrong_environments_are_refused(case: str) -> None:
    environ, named = WRONG[case]
    with pytest.raises(RequestError) as refusal:
        World.detect(environ)
    assert named in str(refusal.value)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("launcher", "missing"),
    [(launcher, name) for launcher, environ in COMPLETE.items() for name in environ if name not in NOT_NEEDED],
)
def test_partial_environments_are_refused(launcher: str, missing: str) -> None:
    environ = {"SLURM_NTASKS": "7"} | COMPLETE[launcher]
    World.detect(environ)
    with pytest.raises(RequestError, match=missing):
        World.detect({name: value for name, value in environ.items() if name != missing})


@given(st.integers(1, 64), st.integers(1, 64))
def test_ranks_per_node_cuts_the_world_into_consecutive_nodes(size: int, ranks: int) -> None:
    worlds = [World("mpirun", rank, size, rank, size) for rank in range(size)]
    if ranks > size:
        with pytest.raises(RequestError):
            worlds[0].with_ranks_per_node(ranks)
        return
    cut = [world.with_ranks_per_node(ranks) for world in worlds]
    assert [(w.rank // ranks) * ranks + w.local_rank for w in cut] == list(range(size))
    assert sum(w.local_size for w in cut if w.local_rank == 0) == size
    assert all(0 <= w.local_rank < w.local_size <= ranks for w in cut)


def test_ranks_per_node_is_for_one_machine() -> None:
    with pytest.raises(RequestError, match=r"comm\.ranks_per_node=1"):
        World("mpirun", 0, 4, 0, 2).with_ranks_per_node(1)


def test_children_are_a_launch_of_their_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    outer = step(0, 1, 0, 0, "1") | open_mpi(0, 1, 0, 1) | {"OMPI_MCA_btl": "self,sm", "OMPI_MCA_osc": "rdma"}
    for name, value in outer.items():
        monkeypatch.setenv(name, value)
    environ = children(tmp_path / "job")
    assert World.detect(environ) == World(job=tmp_path / "job")
    assert environ["OMPI_MCA_btl"] == "self,sm"
    assert environ["OMPI_MCA_osc"] == "rdma", "what the user has set stays"
    assert environ["OMPI_ALLOW_RUN_AS_ROOT"] == environ["OMPI_ALLOW_RUN_AS_ROOT_CONFIRM"] == "1"


MEETING = {"MASTER_ADDR": "node1", "MASTER_PORT": "29500", "TORCHELASTIC_RESTART_COUNT": "2"}


def test_rendezvous() -> None:
    assert rendezvous(MEETING | {"TORCHELASTIC_USE_AGENT_STORE": "True"}) == ("node1", 29500, 2)


@pytest.mark.parametrize("missing", MEETING)
def test_a_partial_rendezvous_is_refused(missing: str) -> None:
    with pytest.raises(RequestError, match=missing):
        rendezvous({name: value for name, value in MEETING.items() if name != missing})


def test_a_rendezvous_without_the_agents_store_is_refused() -> None:
    with pytest.raises(RequestError, match="TORCH_DISABLE_SHARE_RDZV_TCP_STORE"):
        rendezvous(MEETING | {"TORCHELASTIC_USE_AGENT_STORE": "False"})


@pytest.mark.parametrize(
    ("environ", "expected"),
    [({}, True), (open_mpi(0, 2, 0, 2), True), (open_mpi(1, 2, 1, 2), False), ({"RANK": "1"}, False)],
)
def test_one_process_speaks_even_where_there_is_no_world(environ, expected):
    assert speaks(environ) is expected


def test_of_two_launchers_one_process_speaks():
    mixed = [{**open_mpi(a, 2, a, 2), **torchrun(b, 2, b, 2)} for a in (0, 1) for b in (0, 1)]
    assert [speaks(environ) for environ in mixed] == [True, False, False, False]
