"""What this machine has, and how quickly its workers can sum: the answers that a report of a problem begins with."""

import math
import os
import platform
import shutil
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from distbp.comm import cores, mpi
from distbp.comm.base import Communicator, Name
from distbp.comm.world import World
from distbp.errors import RequestError
from distbp.launcher import find_mpirun

SIZES = (4 << 10, 1 << 20, 16 << 20)  # bytes
REPEATS = 30
GIB = 1 << 30
NAME = Name(0, "doctor")


def survey(world: World) -> list[tuple[str, str]]:
    """What a job would find here: pairs of a name and a value. Collective: every rank of ``world`` calls it."""
    return [
        *((name, package(name)) for name in ("distbp", "torch", "numpy", "mpi4py", "hydra-core")),
        ("python", f"{platform.python_version()} ({platform.system()} {platform.machine()})"),
        (
            "MPI library",
            or_reason(lambda: mpi.library().Get_library_version().splitlines()[0].split(",")[0].strip("\0 ")),
        ),
        ("mpirun", or_reason(lambda: find_mpirun(2))),
        ("GPUs", gpus()),
        ("CPU", f"{cpu_model()}, {torch.backends.cpu.get_cpu_capability()}"),
        ("cores by affinity", str(len(cores.mask()))),
        ("cores by cgroup quota", "no limit" if math.isinf(cores.quota()) else f"{cores.quota():.2f}"),
        ("threads of a worker", f"{cores.threads(None, world, shards_given=False)} (1 where shards are given)"),
        ("memory", f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / GIB:.1f} GiB"),
        ("/dev/shm", shared_memory()),
        ("launched by", f"{world.launcher}, {world.size} in all, {world.local_size} on this machine"),
    ]


def report(facts: Sequence[tuple[str, str]], speeds: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """The facts, a line each, and a table of the sums over two or more workers."""
    lines = [f"{name:<24}{value}" for name, value in facts]
    for kind, rows in speeds.items():
        lines += ["", f"sums over {kind}:  bytes, milliseconds, milliseconds of one memcpy"]
        lines += [f"{row['bytes']:>12,}{row['all_reduce_ms']:>10.3f}{row['memcpy_ms']:>10.3f}" for row in rows]
    return "\n".join(lines)


def package(name: str) -> str:
    """The version of an installed package."""
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def or_reason(look: Callable[[], str]) -> str:
    """What ``look`` finds, or why there is nothing."""
    try:
        return look()
    except RequestError as refusal:
        return f"none: {refusal.allowed}"


def gpus() -> str:
    """The GPUs that torch sees: name and memory."""
    if not torch.cuda.is_available():
        return "none"
    found = (torch.cuda.get_device_properties(index) for index in range(torch.cuda.device_count()))
    return ", ".join(f"{gpu.name} ({gpu.total_memory / GIB:.0f} GiB)" for gpu in found)


def cpu_model() -> str:
    """The processor's name for itself."""
    information = Path("/proc/cpuinfo")
    lines = information.read_text().splitlines() if information.exists() else []
    named = (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or platform.machine())


def shared_memory() -> str:
    """What is free of the memory that processes of this machine can share."""
    folder = Path("/dev/shm")
    if not folder.is_dir():
        return "none"
    usage = shutil.disk_usage(folder)
    return f"{usage.free / GIB:.2f} GiB free of {usage.total / GIB:.2f} GiB"


def measure(comm: Communicator) -> list[dict[str, Any]]:
    """How long a sum over the workers takes, and one copy of as many bytes in memory: medians, of the slowest rank.

    One row a size: ``bytes``, ``all_reduce_ms``, ``memcpy_ms``. Collective.
    """
    return [measure_size(comm, size) for size in SIZES]


def measure_size(comm: Communicator, size: int) -> dict[str, Any]:
    """The row of ``measure`` for ``size`` bytes."""
    x = torch.zeros(size // 4, device=comm.device)
    y = torch.zeros_like(x)
    own = [
        median_ms(comm, lambda: comm.all_reduce(x, name=NAME).wait()),
        median_ms(comm, lambda: y.copy_(x)),
    ]
    all_reduce, memcpy = (max(column) for column in zip(*comm.gather_json(own, name=NAME), strict=True))
    return {"bytes": size, "all_reduce_ms": all_reduce, "memcpy_ms": memcpy}


def median_ms(comm: Communicator, act: Callable[[], object]) -> float:
    """The median time of ``act`` in milliseconds, each begun by all ranks together."""
    times = []
    for _ in range(REPEATS):
        comm.barrier(name=NAME)
        begun = time.perf_counter()
        act()
        if comm.device.type == "cuda":
            torch.cuda.synchronize(comm.device)
        times.append(time.perf_counter() - begun)
    return 1000 * statistics.median(times)
