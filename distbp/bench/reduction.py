"""The comparison of the sums: milliseconds for a buffer of each size, beside those of a copy in memory."""

import statistics
from collections.abc import Callable, Mapping
from typing import Any

from distbp.bench.rounds import Times, ratios, seconds, spread
from distbp.bench.sums import Sum, ways
from distbp.bench.together import together
from distbp.comm.base import Communicator

SMALLEST = 4 << 10  # bytes
SLICE_BYTES = 64 << 20  # that the sums of one slice take together,
CALLS = (2, 500)  # in at least and at most as many sums
WAYS = ("memcpy", "window", "messages", "mpi", "gloo")
HEAD = f"{'bytes':>12}" + "".join(f"{name + ' ms':>13}" for name in WAYS) + f"{'window':>9}{'mpi':>8}{'gloo':>8}"
CLOSING = (
    "ms: median of the slowest worker; window: window/memcpy; mpi, gloo: how many times longer than window they take"
)
Row = dict[str, Any]


def bench(
    comm: Communicator, gloo: Communicator, *, largest: int, rounds: int, say: Callable[[str], None]
) -> list[Row]:
    """A row for each size from 4 kB to ``largest`` bytes in powers of 4, said as soon as it is known. Collective."""
    say(HEAD)
    rows = []
    for size in sizes(largest):
        rows.append(make_row(size, race([*ways(size, comm, gloo)], comm, calls=calls(size), rounds=rounds)))
        say(line(rows[-1]))
    say(CLOSING)
    return rows


def sizes(largest: int) -> list[int]:
    """4 kB, and four times as much again and again, up to ``largest`` bytes."""
    found = [SMALLEST]
    while found[-1] * 4 <= largest:
        found.append(found[-1] * 4)
    return found


def calls(size: int) -> int:
    """How many sums of ``size`` bytes make a slice, on every worker."""
    least, most = CALLS
    return min(max(SLICE_BYTES // size, least), most)


def race(sums: list[Sum], comm: Communicator, *, calls: int, rounds: int) -> Times:
    """Milliseconds a sum in each round, of the slowest worker. Collective."""
    steps = dict(sums)
    for step in steps.values():
        seconds(step, min(calls, 10))
    return together(steps, dict.fromkeys(steps, calls), comm, rounds=rounds)


def make_row(size: int, times: Times) -> Row:
    """Medians and spreads (interquartile ranges), null for a way that there is not; ratios are formed by round."""
    row: Row = {"bytes": size}
    for name in WAYS:
        row[f"{name}_ms"] = statistics.median(times[name]) if name in times else None
        row[f"{name}_spread_ms"] = spread(times[name]) if name in times else None
    row["window_ratio"] = ratio(times, "window", "memcpy")
    row["mpi_ratio"], row["gloo_ratio"] = (ratio(times, name, "window") for name in ("mpi", "gloo"))
    return row


def ratio(times: Times, slow: str, fast: str) -> float | None:
    """How many times longer the first takes than the second: the median over the rounds."""
    both = slow in times and fast in times
    return statistics.median(ratios(times[slow], times[fast])) if both else None


def line(row: Mapping[str, Any]) -> str:
    """A row of the table."""
    times = "".join(f"{optional(row[f'{name}_ms'], 4):>13}" for name in WAYS)
    quotients = f"{optional(row['window_ratio']):>9}{optional(row['mpi_ratio']):>8}{optional(row['gloo_ratio']):>8}"
    return f"{row['bytes']:>12,}{times}{quotients}"


def optional(value: float | None, digits: int = 2) -> str:
    """A figure, if there is one."""
    return "-" if value is None else f"{value:.{digits}f}"
