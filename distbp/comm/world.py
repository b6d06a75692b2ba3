"""Who started this process, and which of how many it is. The only reader and setter of environment variables."""

import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from distbp.comm import launchers
from distbp.comm.launchers import Launcher
from distbp.errors import RequestError

JOB = "DISTBP_JOB"
FOREIGN = ("OMPI_", "PMIX_", "PMI_", "PRTE_", "SLURM_", "TORCHELASTIC_")  # another launch's words
SETTINGS = ("OMPI_MCA_", "PMIX_MCA_", "PRTE_MCA_")  # the user's own
YIELDING = {"OMPI_MCA_mpi_yield_when_idle": "1"}  # a rank that waits leaves its core to whoever needs it
MPI_SETTINGS = {"OMPI_MCA_osc": "^ucx"}  # ucx prints an error on every rank when a shared window is made


@dataclass(frozen=True)
class World:
    """Rank ``rank`` of ``size`` processes; ``local_rank`` of the ``local_size`` that share its node.

    ``job`` is the file with the request that our own launcher left for rank 0.
    """

    launcher: Launcher = "none"
    rank: int = 0
    size: int = 1
    local_rank: int = 0
    local_size: int = 1
    job: Path | None = None

    @classmethod
    def detect(cls, environ: Mapping[str, str] | None = None) -> "World":
        """The world that ``environ``, by default the process's own, describes.

        RequestError where two launchers are mixed, or where variables are missing or malformed.
        """
        environ = os.environ if environ is None else environ
        launcher, place = launchers.detect(environ)
        return cls(launcher, *place, job=Path(environ[JOB]) if environ.get(JOB) else None)

    @property
    def one_node(self) -> bool:
        """Whether all ranks share this node."""
        return self.local_size == self.size

    def with_ranks_per_node(self, ranks: int) -> "World":
        """This world as if every ``ranks`` consecutive ranks of its one machine were a node of their own."""
        if not self.one_node:
            raise RequestError("comm.ranks_per_node", ranks, "null, where the workers run on several machines")
        if not 1 <= ranks <= self.size:
            raise RequestError("comm.ranks_per_node", ranks, f"a number from 1 to {self.size}, the number of workers")
        first = self.rank - self.rank % ranks
        return replace(self, local_rank=self.rank - first, local_size=min(ranks, self.size - first))


def speaks(environ: Mapping[str, str] | None = None) -> bool:
    """Whether this process speaks for all: no launcher gave it a rank but 0, whether or not a World can be made."""
    environ = os.environ if environ is None else environ
    return all(environ.get(name, "0") == "0" for name in launchers.RANKS)


class Rendezvous(NamedTuple):
    """Where torchrun's workers meet: the address of its agent's store, and which attempt of the job this is."""

    host: str
    port: int
    attempt: int


def rendezvous(environ: Mapping[str, str] | None = None) -> Rendezvous:
    """Where the workers that torchrun started meet. RequestError where it does not say."""
    environ = os.environ if environ is None else environ
    if environ.get("TORCHELASTIC_USE_AGENT_STORE", "True") != "True":
        raise RequestError("TORCH_DISABLE_SHARE_RDZV_TCP_STORE", 1, "unset: the workers meet in the store of torchrun")
    return Rendezvous(
        host=launchers.text(environ, "torchrun", "MASTER_ADDR"),
        port=launchers.number(environ, "torchrun", "MASTER_PORT"),
        attempt=launchers.number(environ, "torchrun", "TORCHELASTIC_RESTART_COUNT"),
    )


def children(job: Path) -> dict[str, str]:
    """The environment of the workers that our own launcher starts, with ``job`` for rank 0 to read.

    mpirun is allowed to run as root, as in a container; what another launcher said to this process is left out.
    """
    kept = {k: v for k, v in os.environ.items() if k.startswith(SETTINGS) or not k.startswith(FOREIGN)}
    root = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
    return {"TORCH_CPP_LOG_LEVEL": "ERROR"} | MPI_SETTINGS | YIELDING | kept | root | {JOB: str(job)}


def prepare_mpi() -> None:
    """Set what MPI reads when it is initialised; what the user has set stays."""
    for name, value in MPI_SETTINGS.items():
        os.environ.setdefault(name, value)


def shared_memory_folder(environ: Mapping[str, str] | None = None) -> Path:
    """The folder in which MPI puts the shared memory of its windows."""
    environ = os.environ if environ is None else environ
    return Path(environ.get("OMPI_MCA_osc_sm_backing_directory", "/dev/shm"))


def prepare_gloo(world: World) -> None:
    """On one node, keep gloo on the loopback interface: nothing listens where others could connect."""
    loopback = next((name for _, name in socket.if_nameindex() if name in ("lo", "lo0")), None)
    if world.one_node and loopback is not None:
        os.environ.setdefault("GLOO_SOCKET_IFNAME", loopback)
