"""The comparison of tables of different height: a step that looks up equally many rows of each."""

import gc
import statistics
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch

from distbp.bench.models.case import Case
from distbp.bench.models.look_up import look_up
from distbp.bench.parallel import Ours, Replicated
from distbp.bench.rounds import Times, ratios, spread
from distbp.bench.together import slice_length, together
from distbp.comm.base import Communicator
from distbp.comm.torch_dist import TorchCommunicator

SHORTEST = 10_000  # rows
HEAD = f"{'rows':>12}{'ours ms':>12}{'ddp ms':>12}{'ratio':>8}{'ddp':>10}"
CLOSING = (
    "ms: median a step of the slowest worker; ratio: how many times longer than with the shortest table;\n"
    "ddp: how many times longer than ours DistributedDataParallel takes, whose gradient of a table is dense"
)
Row = dict[str, Any]


def bench(
    comm: Communicator, gloo: TorchCommunicator, *, tallest: int, rounds: int, seed: int, say: Callable[[str], None]
) -> list[Row]:
    """A row for each height from 10,000 to ``tallest`` in powers of 10. Collective.

    Ours train all heights in turns; DistributedDataParallel one height after the other, for its memory.
    """
    torch.set_num_threads(1)
    say(HEAD)
    sparse = {str(rows): Ours(case_for(comm.rank, rows, seed, sparse=True), comm).step for rows in heights(tallest)}
    ours = raced(sparse, comm, rounds)
    sparse.clear()  # the tables go, before dense ones with gradients come
    rows = []
    for height in heights(tallest):
        gc.collect()
        ddp = raced({"ddp": Replicated(case_for(comm.rank, height, seed, sparse=False), gloo).step}, comm, rounds)
        rows.append(make_row(height, {**ddp, "ours": ours[str(height)], "shortest": ours[str(SHORTEST)]}))
        say(line(rows[-1]))
    say(CLOSING)
    return rows


def heights(tallest: int) -> list[int]:
    """10,000, and ten times as many again and again, up to ``tallest``."""
    found = [SHORTEST]
    while found[-1] * 10 <= tallest:
        found.append(found[-1] * 10)
    return found


def case_for(rank: int, rows: int, seed: int, *, sparse: bool) -> Case:
    """One worker's case: the table is everybody's, the look-ups are its own.

    Those of a taller table are those of the shortest, further apart: equally often two find the same row.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed + rank)
        own = look_up(SHORTEST, sparse=sparse)
        torch.manual_seed(seed)
        numbers = own.inputs[0] * (rows // SHORTEST)
        return replace(look_up(rows, sparse=sparse), inputs=(numbers,), target=own.target)


def raced(steps: Mapping[str, Callable[[], None]], comm: Communicator, rounds: int) -> Times:
    """Milliseconds a step of each in each round. Collective."""
    counts = {name: slice_length(step, comm) for name, step in steps.items()}
    return together(steps, counts, comm, rounds=rounds)


def make_row(height: int, times: Times) -> Row:
    """Medians, interquartile ranges and ratios of one height."""
    row: Row = {"rows": height}
    for name in ("ours", "ddp"):
        row |= {f"{name}_ms": statistics.median(times[name]), f"{name}_spread_ms": spread(times[name])}
    row["ratio"] = statistics.median(ratios(times["ours"], times["shortest"]))
    return row | {"ddp_ratio": row["ddp_ms"] / row["ours_ms"]}


def line(row: Row) -> str:
    """A row of the table."""
    times = f"{row['rows']:>12,}{row['ours_ms']:>12.3f}{row['ddp_ms']:>12.3f}"
    return f"{times}{row['ratio']:>8.2f}{row['ddp_ratio']:>10.2f}"
