"""How many cores this process may use, and how many threads that makes for each of the workers that share them."""

import os
import socket
import sys
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from distbp.comm.channel import channel
from distbp.comm.world import World


def available(root: Path = Path("/")) -> int:
    """The cores of the affinity mask, or fewer where a cgroup's quota allows fewer; at least 1."""
    return max(1, int(min(len(mask()), quota(root))))


def mask() -> set[int]:
    """The cores that this process may be scheduled on."""
    if sys.platform == "linux":
        return os.sched_getaffinity(0)
    else:  # noqa: RET505 - mypy reads the branches as platforms
        return set(range(os.cpu_count() or 1))


def quota(root: Path = Path("/")) -> float:
    """The CPU time that the cgroups of this process allow, in cores; infinity where none limits it.

    Every group from the process's own up to the root counts, in version 2 (``cpu.max``) and 1 (``cpu.cfs_quota_us``).
    """
    return min((_limit(group) for group in _groups(root)), default=float("inf"))


def _groups(root: Path) -> Iterator[Path]:
    """The folders of this process's cgroups and of all above them, as far as they can be seen here."""
    membership = root / "proc/self/cgroup"
    for line in membership.read_text().splitlines() if membership.exists() else []:
        _, controllers, path = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        mount = root / "sys/fs/cgroup" / controllers
        group = Path(path.lstrip("/"))
        yield from (mount / above for above in (group, *group.parents))


def _limit(group: Path) -> float:
    """The quota of one group, in cores."""
    if (group / "cpu.max").exists():
        allowed, period = (group / "cpu.max").read_text().split()
    elif (group / "cpu.cfs_quota_us").exists():
        allowed = (group / "cpu.cfs_quota_us").read_text().strip()
        period = (group / "cpu.cfs_period_us").read_text()
    else:
        return float("inf")
    return float("inf") if allowed in ("max", "-1") else int(allowed) / int(period)


def threads(request: int | None, world: World, *, shards_given: bool) -> int:
    """The threads of this worker: as requested; else 1 where shards are given, for bits depend on the number.

    Else this worker's cores, divided by the workers of this machine that share them. Collective.
    """
    if request is not None:
        return request
    if shards_given:
        return 1
    host, own = socket.gethostname(), sorted(mask())
    everyone = channel(world).gather([host, own])
    return fair(own, [cores for name, cores in everyone if name == host], quota())


def fair(own: Collection[int], masks: Sequence[Collection[int]], allowed: float) -> int:
    """One worker's threads, at least 1: its cores among the workers whose ``masks`` meet its own, itself included.

    A cgroup's quota of ``allowed`` cores is for all workers of the machine, also where each is bound to a core.
    """
    sharers = sum(not set(own).isdisjoint(cores) for cores in masks)
    return max(1, int(min(len(own) / sharers, allowed / len(masks))))
