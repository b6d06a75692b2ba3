"""The matrix of bits: workers x transport x engine x model, and one hash a column."""

from contextlib import closing

import pytest

from distbp.comm import threads
from distbp.comm.channel import channel
from distbp.comm.connect import join
from distbp.comm.world import World
from tests.launch.columns import COLUMNS, hashes

TRANSPORTS = ("window", "nodes of 1", "nodes of 2", "gloo", "gloo, nodes of 1", "gloo, nodes of 2", "threads")
CUT = [(2, "window"), (3, "window"), (4, "nodes of 2"), (3, "gloo"), (3, "gloo, nodes of 1"), (2, "threads")]
MATRIX = [
    pytest.param(workers, transport, marks=[] if (workers, transport) in CUT else pytest.mark.long)
    for transport in TRANSPORTS
    for workers in (1, 2, 3, 4)
]


def hashes_on_nodes(comm, ranks_per_node, kind):
    """As on several machines: every so many ranks make a node."""
    world = World.detect().with_ranks_per_node(min(ranks_per_node, comm.size))
    with closing(join(world, channel(world), kind=kind, device="cpu", timeout=60.0)) as group:
        return hashes(group)


def row(pool, workers, transport):
    """Each rank's hashes of every column."""
    if transport == "threads":
        return threads.run(workers, hashes, timeout=100.0)
    kind = "torch" if "gloo" in transport else "mpi"
    if "nodes" in transport:
        return pool.run(kind, workers, hashes_on_nodes, int(transport.split()[-1]), kind, timeout=100.0)
    return pool.run(kind, workers, hashes, timeout=100.0)


@pytest.fixture(scope="module")
def alone():
    """The hashes of one worker."""
    return threads.run(1, hashes, timeout=100.0)[0]


def test_columns_differ(alone):
    """Models do, and micro-batches round differently: a hash that never changes would prove nothing."""
    hashes_of = dict(zip(COLUMNS, alone, strict=True))
    manual = [column for column in COLUMNS if column[0] == "manual"]
    assert len({hashes_of[column] for column in manual}) == len(manual)
    assert hashes_of["manual", "convolutions", 1] != hashes_of["autograd", "convolutions", 1]


@pytest.mark.parametrize(("workers", "transport"), MATRIX)
def test_every_column_has_one_hash(pool, alone, workers, transport):
    for rank, found in enumerate(row(pool, workers, transport)):
        for column, expected, ours in zip(COLUMNS, alone, found, strict=True):
            assert ours == expected, f"{column} on rank {rank}"
