"""What mpirun, srun and torchrun tell the processes that they start, read from a mapping of environment variables."""

import re
from collections.abc import Mapping
from typing import Literal, NamedTuple

from distbp.errors import RequestError

Environment = Mapping[str, str]
Launcher = Literal["none", "mpirun", "srun", "torchrun"]

# The names of rank, size, local rank and local size, launcher by launcher.
OPEN_MPI = ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK", "OMPI_COMM_WORLD_LOCAL_SIZE")
HYDRA = ("PMI_RANK", "PMI_SIZE", "MPI_LOCALRANKID", "MPI_LOCALNRANKS")  # MPICH, Intel MPI
PALS = ("PMI_RANK", "PMI_SIZE", "PMI_LOCAL_RANK", "PMI_LOCAL_SIZE")  # Cray
TORCHRUN = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")
RANKS = (OPEN_MPI[0], HYDRA[0], TORCHRUN[0], "SLURM_PROCID")
TORCHRUN_MARK = "TORCHELASTIC_RUN_ID"

SLURM_PSEUDO_STEPS = 4_294_967_000  # steps above this are SLURM's own: a batch script, an interactive shell


class Place(NamedTuple):
    """Rank ``rank`` of ``size``; ``local_rank`` of the ``local_size`` that share its node."""

    rank: int
    size: int
    local_rank: int
    local_size: int


def detect(environ: Environment) -> tuple[Launcher, Place]:
    """The launcher that started a process with these variables, and the process's place.

    The inner launcher counts: mpirun within a SLURM allocation is mpirun, torchrun within a SLURM step is torchrun.
    RequestError where mpirun and torchrun are mixed, or variables are missing or malformed.
    """
    torchrun, mpirun, srun = _torchrun(environ), _mpirun(environ), _srun(environ)
    if torchrun and mpirun:
        raise RequestError("launcher", "mpirun with torchrun", "one of them starts the workers, not both")
    if torchrun:
        return "torchrun", torchrun
    if srun and (not mpirun or mpirun[:2] == srun[:2]):  # srun speaks PMI too
        return "srun", srun
    if mpirun:
        return "mpirun", mpirun
    _refuse_ranks_without_launcher(environ)
    return "none", Place(0, 1, 0, 1)


def _torchrun(environ: Environment) -> Place | None:
    return _place(environ, "torchrun", TORCHRUN) if TORCHRUN_MARK in environ else None


def _mpirun(environ: Environment) -> Place | None:
    if any(name in environ for name in OPEN_MPI):
        return _place(environ, "mpirun", OPEN_MPI)
    if "PMI_RANK" not in environ and "PMI_SIZE" not in environ:
        return None
    if _in_step(environ) and not any(name in environ for name in HYDRA[2:] + PALS[2:]):
        return None  # srun with PMI-2
    return _place(environ, "mpirun", PALS if "PMI_LOCAL_RANK" in environ else HYDRA)


def _srun(environ: Environment) -> Place | None:
    """The place in a SLURM step. A step of one task is taken for the shell that it often is."""
    if not _in_step(environ):
        return None
    size_name = "SLURM_STEP_NUM_TASKS" if "SLURM_STEP_NUM_TASKS" in environ else "SLURM_NTASKS"
    size = number(environ, "srun", size_name)
    if size == 1:
        return None
    rank, local_rank, node = (
        number(environ, "srun", name) for name in ("SLURM_PROCID", "SLURM_LOCALID", "SLURM_NODEID")
    )
    tasks = _tasks_per_node(environ)
    if node >= len(tasks):
        raise RequestError("SLURM_NODEID", node, f"a number below {len(tasks)}, the number of nodes of the step")
    return _checked("srun", "SLURM_PROCID", Place(rank, size, local_rank, tasks[node]))


def _in_step(environ: Environment) -> bool:
    return "SLURM_STEP_ID" in environ and number(environ, "srun", "SLURM_STEP_ID") < SLURM_PSEUDO_STEPS


def _tasks_per_node(environ: Environment) -> list[int]:
    """SLURM's ``4(x2),3`` is 4, 4, 3."""
    name = "SLURM_STEP_TASKS_PER_NODE"
    counts = text(environ, "srun", name)
    groups = [re.fullmatch(r"([0-9]{1,9})(?:\(x([0-9]{1,6})\))?", group) for group in counts.split(",")]
    return [count for group in groups for count in _repeated(group, name, counts)]


def _repeated(group: re.Match[str] | None, name: str, counts: str) -> list[int]:
    if group is None:
        raise RequestError(name, counts, "counts such as 4(x2),3, which srun sets")
    return [int(group[1])] * int(group[2] or 1)


def _place(environ: Environment, launcher: Launcher, names: tuple[str, ...]) -> Place:
    return _checked(launcher, names[0], Place(*(number(environ, launcher, name) for name in names)))


def _checked(launcher: Launcher, name: str, place: Place) -> Place:
    rank, size, local_rank, local_size = place
    if not (0 <= local_rank < local_size <= size and 0 <= rank < size):
        raise RequestError(
            name, rank, f"a rank below the size; {launcher} says rank {rank} of {size}, {local_rank} of {local_size} "
            "on its node",
        )  # fmt: skip
    return place


def number(environ: Environment, launcher: Launcher, name: str) -> int:
    """The number that ``launcher`` sets as ``name``. RequestError where it is missing or is no number."""
    value = text(environ, launcher, name)
    if not re.fullmatch(r"[0-9]{1,10}", value):
        raise RequestError(name, value, f"a number, which {launcher} sets")
    return int(value)


def text(environ: Environment, launcher: Launcher, name: str) -> str:
    """What ``launcher`` sets as ``name``. RequestError where it is missing."""
    if name not in environ:
        raise RequestError(name, "(not set)", f"{launcher} sets it, together with its other variables")
    return environ[name]


def _refuse_ranks_without_launcher(environ: Environment) -> None:
    """RANK and WORLD_SIZE set by hand would make N independent runs of what was meant as one."""
    if "RANK" in environ and environ.get("WORLD_SIZE", "1") != "1":
        raise RequestError("WORLD_SIZE", environ["WORLD_SIZE"], "unset, unless torchrun, mpirun or srun starts distbp")
