"""Cores and threads, on cgroup trees made up for the purpose."""

import math
import os
from pathlib import Path

import pytest

from distbp.comm import cores
from distbp.comm.world import World

TREES: dict[str, tuple[dict[str, str], float]] = {
    "no cgroups": ({}, math.inf),
    "v2, no limit": ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "max 100000\n"}, math.inf),
    "v2, at the root": ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "250000 100000\n"}, 2.5),
    "v2, the strictest above": (
        {
            "proc/self/cgroup": "0::/job/step\n",
            "sys/fs/cgroup/job/cpu.max": "150000 100000\n",
            "sys/fs/cgroup/job/step/cpu.max": "800000 100000\n",
        },
        1.5,
    ),
    "v2, the path of the host, seen from a container": (
        {"proc/self/cgroup": "0::/docker/abc\n", "sys/fs/cgroup/cpu.max": "300000 100000\n"},
        3.0,
    ),
    "v1": (
        {
            "proc/self/cgroup": "3:memory:/m\n2:cpu,cpuacct:/job\n1:name=systemd:/\n0::/\n",
            "sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_quota_us": "400000\n",
            "sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_period_us": "50000\n",
            "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "-1\n",
            "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000\n",
        },
        8.0,
    ),
    "v1, cpu alone": (
        {
            "proc/self/cgroup": "1:cpu:/\n",
            "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "50000\n",
            "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
        },
        0.5,
    ),
    "v1, no limit": (
        {
            "proc/self/cgroup": "1:cpu:/\n",
            "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n",
            "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
        },
        math.inf,
    ),
}


def plant(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


@pytest.mark.parametrize("tree", TREES)
def test_quota(tmp_path: Path, tree: str) -> None:
    files, expected = TREES[tree]
    assert cores.quota(plant(tmp_path, files)) == expected


@pytest.mark.parametrize(
    ("allowed", "expected"), [(math.inf, 4), (2.5, 2), (0.5, 1), (16.0, 4)], ids=["none", "2.5", "0.5", "16"]
)
def test_available_is_rounded_down_and_at_least_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, allowed: float, expected: int
) -> None:
    monkeypatch.setattr(cores, "mask", lambda: {0, 1, 2, 3})
    text = "max 100000" if math.isinf(allowed) else f"{int(allowed * 100000)} 100000"
    files = {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": text}
    assert cores.available(plant(tmp_path, files)) == expected


def test_available_here_is_within_the_mask() -> None:
    assert 1 <= cores.available() <= len(os.sched_getaffinity(0))


@pytest.mark.parametrize(
    ("masks", "allowed", "expected"),
    [
        pytest.param([range(8)], math.inf, 8, id="alone"),
        pytest.param([range(8)] * 4, math.inf, 2, id="four share all"),
        pytest.param([range(8)] * 3, math.inf, 2, id="three share all, rounded down"),
        pytest.param([range(1)] * 4, math.inf, 1, id="at least one"),
        pytest.param([[0], [1], [2]], math.inf, 1, id="bound to a core each"),
        pytest.param([range(4), range(4, 8)], math.inf, 4, id="bound to a socket each"),
        pytest.param([range(4), range(4), range(4, 8)], math.inf, 2, id="two on this socket, one on the other"),
        pytest.param([range(4), range(4, 8)], 2.0, 1, id="bound, under a common quota"),
        pytest.param([range(8)], 2.5, 2, id="quota alone"),
    ],
)
def test_fair(masks: list[range], allowed: float, expected: int) -> None:
    assert cores.fair(masks[0], masks, allowed) == expected


@pytest.mark.parametrize(
    ("request_", "shards_given", "expected"), [(3, False, 3), (3, True, 3), (None, True, 1), (None, False, 6)]
)
def test_threads(monkeypatch: pytest.MonkeyPatch, request_: int | None, shards_given: bool, expected: int) -> None:
    monkeypatch.setattr(cores, "mask", lambda: set(range(6)))
    monkeypatch.setattr(cores, "quota", lambda: math.inf)
    assert cores.threads(request_, World(), shards_given=shards_given) == expected
