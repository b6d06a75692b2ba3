"""The number of workers, the launcher and the transport do not change a bit of the result."""

import json
from contextlib import closing

import pytest
import torch

from distbp.comm import threads
from distbp.comm.channel import channel
from distbp.comm.connect import join
from distbp.comm.staged import Staged
from distbp.comm.world import World
from tests.launch import bits
from tests.launch.bits import overrides
from tests.launch.start import Run, command
from tests.pool import GROUPS
from tests.warm import python

LAUNCHES = [  # of two workers: test_multirun.py
    *(("workers", 4), ("mpirun", 3), ("torchrun", 3)),
    pytest.param("workers", 3, marks=pytest.mark.long),  # which are mpirun's, too
]


def launched(folder, launcher, size, **others):
    run = Run(command(launcher, size, *overrides(folder, **others), python=python()))
    assert run.wait() == 0, run.stderr
    return json.loads((folder / "result.json").read_text())


def train(comm, *request):
    """The hash of the weights, which rank 0 has."""
    return bits.train(comm, *request).get("weights_sha256")


@pytest.mark.parametrize(("launcher", "size"), LAUNCHES)
def test_every_launch_gives_the_bits_of_one_worker(tmp_path, one_worker, launcher, size):
    result = launched(tmp_path / "run", launcher, size)
    assert result["world_size"] == size
    assert result["threads"] == 1
    assert result["weights_sha256"] == one_worker["manual"]["weights_sha256"]
    assert result["metrics"] == one_worker["manual"]["metrics"]


@pytest.mark.parametrize("engine", ["manual", "autograd"])
@pytest.mark.parametrize(("kind", "size"), GROUPS)
def test_every_communicator_gives_the_bits_of_one_worker(*, pool, tmp_path, one_worker, kind, size, engine):
    hashes = pool.run(kind, size, train, *overrides(tmp_path / "run", engine=engine))
    assert hashes[0] == one_worker[engine]["weights_sha256"]


def train_on_nodes(comm, ranks_per_node, *request):
    """As on several machines: every so many ranks make a node."""
    world = World.detect().with_ranks_per_node(ranks_per_node)
    with closing(join(world, channel(world), kind="mpi", device="cpu", timeout=60.0)) as group:
        return train(group, *request)


@pytest.mark.parametrize(("size", "ranks_per_node"), [(2, 1), (3, 1), (3, 2), (4, 2)])
def test_nodes_do_not_change_a_bit(*, pool, tmp_path, one_worker, size, ranks_per_node):
    """One rank on each, or uneven ones: messages alone. Two and two: windows, and messages between them."""
    hashes = pool.run("mpi", size, train_on_nodes, ranks_per_node, *overrides(tmp_path / "run"))
    assert hashes[0] == one_worker["manual"]["weights_sha256"]


def test_another_seed_gives_other_bits(tmp_path, one_worker):
    (other,) = threads.run(1, train, *overrides(tmp_path / "run", seed=1))
    assert other != one_worker["manual"]["weights_sha256"]


@pytest.mark.parametrize("others", [{"batch_size": 30}, {"batch_size": 3}, {"micro_batches": 3}], ids=str)
def test_ragged_and_empty_parts_and_micro_batches(pool, tmp_path, others):
    """Three samples on four parts leave one empty; 30 make parts of 7 and 8."""
    hashes = {
        size: pool.run("mpi", size, train, *overrides(tmp_path / str(size), steps=10, **others))[0]
        for size in (1, 2, 3, 4)
    }
    assert len(set(hashes.values())) == 1, hashes


def test_auto_shards_repeat(pool, tmp_path):
    first, second = (
        pool.run("mpi", 2, train, *overrides(tmp_path / name, shards="auto", steps=20))[0]
        for name in ("first", "second")
    )
    assert first == second


def train_through_memory_of_the_host(comm, *request):
    """As tensors of a GPU travel."""
    return train(Staged(comm, torch.device("cpu")), *request)


def test_a_copy_on_the_way_does_not_change_a_bit(*, pool, tmp_path, one_worker):
    hashes = pool.run("mpi", 2, train_through_memory_of_the_host, *overrides(tmp_path / "run"))
    assert hashes[0] == one_worker["manual"]["weights_sha256"]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
def test_two_workers_may_share_a_gpu(tmp_path):
    alone = launched(tmp_path / "alone", "alone", 1, device="cuda")
    both = launched(tmp_path / "both", "mpirun", 2, device="cuda", comm="mpi")
    assert both["device"] == alone["device"] != "cpu"
    assert both["weights_sha256"] == alone["weights_sha256"]
