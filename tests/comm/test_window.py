"""Memory that the ranks of a node share: what one writes before a fence, the others read after it."""

import contextlib
import ctypes
import io
import mmap
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Literal

import pytest
import torch

from distbp.alignment import ALIGNMENT
from distbp.comm import mpi_node, shared_memory, threads
from distbp.comm.base import Communicator, Name
from distbp.comm.channel import channel
from distbp.comm.connect import join
from distbp.comm.window import Window
from distbp.comm.world import World
from tests.pool import Pool

NAME = Name(2, "window")
FOLDER = "OMPI_MCA_osc_sm_backing_directory"
BYTES = 10_000  # no whole number of pages
CASES = [(2, 2), (3, 3), (4, 2), (4, 4), (4, 1), (3, 2), (2, 1), (1, 1)]


def nodes_of(size: int, per_node: int) -> list[list[int]]:
    """The ranks of each node that share memory: uneven nodes do not."""
    width = per_node if size % per_node == 0 else 1
    return [list(range(first, first + width)) for first in range(0, size, width)]


def holds(comm: Communicator, per_node: int) -> None:
    """The contract of a window, on one rank of ``comm``."""
    nodes = nodes_of(comm.size, per_node)
    mine = next(ranks for ranks in nodes if comm.rank in ranks)
    windows = [comm.allocate(BYTES, name=NAME) for _ in range(2)]
    for window in windows:
        assert [list(ranks) for ranks in window.nodes] == nodes
        assert mine[window.place] == comm.rank
        assert window.shared == (len(mine) > 1)
        assert (window.across.rank, window.across.size) == (nodes.index(mine), len(nodes))
        assert [block.numel() for block in window.blocks] == [BYTES] * len(mine)
        assert all(block.data_ptr() % ALIGNMENT == 0 for block in window.blocks)
        assert not any(block.any() for block in window.blocks)
    for turn in range(20):
        for window in windows:
            writes_are_seen(window, mine, comm.rank, turn)
    peers = torch.empty(len(nodes), dtype=torch.int64)
    windows[0].across.all_gather(peers, torch.tensor([comm.rank]), name=NAME).wait()
    assert peers.tolist() == [ranks[windows[0].place] for ranks in nodes]


def writes_are_seen(window: Window, ranks: list[int], rank: int, turn: int) -> None:
    """Every rank writes to its part of every block, and reads all of its own."""
    window.fence()
    for block in window.blocks:
        block.tensor_split(len(ranks))[window.place].fill_((rank + turn) % 256)
    window.fence()
    for writer, part in zip(ranks, window.own.tensor_split(len(ranks)), strict=True):
        assert torch.equal(part, torch.full_like(part, (writer + turn) % 256))


def holds_over(comm: Communicator, kind: Literal["mpi", "torch"], per_node: int) -> str:
    """In a group of its own; what is said to standard error."""
    world = World.detect().with_ranks_per_node(per_node)
    said = io.StringIO()
    with contextlib.redirect_stderr(said):
        group = join(world, channel(world), kind=kind, device="cpu", timeout=30.0)
        holds(group, per_node)
        group.close()
    return said.getvalue()


@pytest.mark.parametrize(("size", "per_node"), CASES)
def test_threads(size: int, per_node: int) -> None:
    threads.run(size, holds, per_node, ranks_per_node=per_node)


@pytest.mark.parametrize("kind", ["mpi", "torch"])
@pytest.mark.parametrize(("size", "per_node"), CASES)
def test_processes(pool: Pool, kind: str, size: int, per_node: int) -> None:
    first, *others = pool.run(kind, size, holds_over, kind, per_node)
    assert not any(others)
    uneven = "distbp: gradients travel as messages, not in shared memory: the nodes have different numbers of workers"
    assert first == (f"{uneven} (2, 1)\n" if size % per_node else "")


def holds_behind_a_barrier(comm: Communicator) -> None:
    """As on a machine whose stores may be seen in another order."""
    before, mpi_node.keeps_order = mpi_node.keeps_order, lambda: False
    try:
        assert not holds_over(comm, "mpi", comm.size)
    finally:
        mpi_node.keeps_order = before


def test_where_counters_will_not_do_mpi_s_barrier_does(pool: Pool) -> None:
    pool.run("mpi", 2, holds_behind_a_barrier)


def test_who_is_late_at_a_fence_is_waited_for(pool: Pool) -> None:
    for kind in ("mpi", "torch"):
        pool.run(kind, 3, waits, kind)


def waits(comm: Communicator, kind: Literal["mpi", "torch"]) -> None:
    """Longer than the others spin."""
    world = World.detect()
    group = join(world, channel(world), kind=kind, device="cpu", timeout=30.0)
    window = group.allocate(BYTES, name=NAME)
    for turn in range(3):
        time.sleep(0.05 * (group.rank == turn))
        writes_are_seen(window, [0, 1, 2], group.rank, turn)
    group.close()


def test_a_rank_alone_shares_nothing(pool: Pool) -> None:
    pool.run("local", 1, holds, 1)


def refused(comm: Communicator, folder: str) -> str:
    """Where MPI's folder is not there, a rank has memory anyway; what is said."""
    world = World.detect()
    group = join(world, channel(world), kind="mpi", device="cpu", timeout=30.0)
    said = io.StringIO()
    os.environ[FOLDER] = folder
    try:
        with contextlib.redirect_stderr(said):
            windows = [group.allocate(BYTES, name=NAME) for _ in range(2)]
    finally:
        del os.environ[FOLDER]
    assert all(window.own.numel() == BYTES and not window.shared for window in windows)
    assert windows[0].across.size == comm.size
    assert group.allocate(BYTES, name=NAME).shared
    group.close()
    return said.getvalue()


def test_where_there_is_no_room_one_line_says_so_and_messages_do(pool: Pool) -> None:
    line = "distbp: gradients travel as messages, not in shared memory: /nowhere: No such file or directory\n"
    assert pool.run("mpi", 2, refused, "/nowhere") == [line, ""]


def outlives(comm: Communicator) -> list[float]:
    """A tensor on a window is read after its group was closed; one that nobody holds is given back."""
    world = World.detect()
    group = join(world, channel(world), kind="mpi", device="cpu", timeout=30.0)
    before, lines = maps(), 1  # the fence's
    kept = group.allocate(1 << 20, name=NAME).own.view(torch.float32)
    kept.fill_(group.rank)
    group.allocate(1 << 20, name=NAME)
    assert maps() == before + 2 + lines
    group.allocate(1 << 20, name=NAME)
    assert maps() == before + 2 + lines, "the second one is given back before the third is made"
    group.close()
    assert maps() == before + 1
    return kept.unique().tolist()


def maps() -> int:
    """The windows that this process has mapped."""
    return Path("/proc/self/maps").read_text().count("/osc_sm")


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_stays_while_a_tensor_is_on_it(pool: Pool) -> None:
    assert pool.run("mpi", 2, outlives) == [[0.0], [1.0]]


def test_lack_says_what_is_there_and_what_is_needed() -> None:
    with tempfile.TemporaryDirectory() as folder:
        assert shared_memory.lack(Path(folder), 1) is None
        assert "MiB left, and 1099511627776 MiB are needed" in str(shared_memory.lack(Path(folder), 1 << 60))


@pytest.mark.skipif(sys.platform != "linux", reason="a call of Linux")
def test_taking_pages_fails_where_writing_them_would_kill() -> None:
    page = shared_memory.PAGE
    with tempfile.TemporaryFile() as file:
        file.truncate(4 * page)
        block = torch.frombuffer(mmap.mmap(file.fileno(), 4 * page), dtype=torch.uint8)
        assert shared_memory.take(block) is None
        file.truncate(page)
        reason = shared_memory.take(block)
    assert reason is None or "shared memory of 0 MiB: " in reason
    libc = ctypes.CDLL(None)
    known = libc.madvise(ctypes.c_void_p(block.data_ptr()), ctypes.c_size_t(page), shared_memory.MADV_POPULATE_WRITE)
    assert (reason is not None) == (known == 0), "told, unless the kernel is too old to know"


SMALL = """
mount -t tmpfs -o size=40m tmpfs /dev/shm || exit 77
exec "$@"
"""


def test_a_small_folder_of_shared_memory_ends_no_run(tmp_path: Path) -> None:
    """As in a container: there is room for the workers' messages, but not for their gradients."""
    code = """
from distbp.comm.window import Window
import torch, distbp
torch.manual_seed(0)
module = torch.nn.Linear(1000, 8000)
step = distbp.DataParallel(module, torch.nn.MSELoss())
for _ in range(2):
    step(torch.ones(2, 1000), torch.zeros(2, 8000))
print("shared", step.reducer.total.window.shared, flush=True)
"""
    script = tmp_path / "script.py"
    script.write_text(code)
    mpirun = [str(Path(sys.executable).with_name("mpirun")), "--oversubscribe", "-n", "2", sys.executable, str(script)]
    root = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", SMALL, "sh", *mpirun],
        env={**os.environ, **root}, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    if done.returncode == 77 or "unshare failed" in done.stderr:
        pytest.skip("no mount namespace here")
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("\n")[:2] == ["shared False"] * 2
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("distbp: ")]
    assert line.startswith("distbp: gradients travel as messages, not in shared memory: /dev/shm has ")
