"""How a race stands: a row for each model, means over the models, and both as a table."""

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from distbp.bench.rounds import Times, ratios, spread

COLUMNS = ("ours", "ddp", "mpi4py", "threads", "alone", "library", "sharded", "late")
INSIDE = ("ours", "ddp", "mpi4py", "alone", "library", "sharded", "late", "inside")  # in turns, in the same processes
QUOTIENTS = {  # by what a row tells them: (slow, fast)
    "ddp_ratio": ("ddp", "ours"),
    "bound": ("ddp", "alone"),
    "mpi4py_ratio": ("mpi4py", "ours"),
    "threads_ratio": ("threads", "ours"),
    "ordered_ratio": ("ours", "library"),
    "sharded_ratio": ("sharded", "ours"),
    "overlap_ratio": ("late", "inside"),
}
TITLES = ("ddp", "bound", "mpi4py", "threads", "ordered", "sharded", "overlap")
HEAD = (
    f"{'model':<10}"
    + "".join(f"{name + ' ms':>12}" for name in COLUMNS)
    + " |"
    + "".join(f"{title:>9}" for title in TITLES)
)
CLOSING = """\
ms: median a step of the slowest worker. ddp, mpi4py, threads: how many times longer than ours each takes;
bound: ddp/alone, what a perfect reduction could win; ordered: ours/library; sharded: twice the shards/ours;
late, overlap: DistributedDataParallel that sums when the backward pass is over, and how many times longer it takes"""
Row = dict[str, Any]


def make_row(model: str, times: Times) -> Row:
    """Medians and spreads (interquartile ranges) of one model; null for who did not run.

    ``times`` may hold ``torchrun``, the times of DistributedDataParallel in processes of its own: the better one is
    ``ddp``.
    """
    best = {**times, "inside": times["ddp"]}
    inside = "torchrun" not in times or median(times, "ddp") <= median(times, "torchrun")  # type: ignore[operator]
    if not inside:
        best["ddp"] = times["torchrun"]
    together = INSIDE if inside else tuple(name for name in INSIDE if name != "ddp")
    row: Row = {"model": model}
    row |= {f"{name}_ms": median(best, name) for name in COLUMNS}
    row |= {f"{name}_spread_ms": spread(best[name]) if name in best else None for name in COLUMNS}
    row |= {"ddp_inside_ms": median(times, "ddp"), "ddp_torchrun_ms": median(times, "torchrun")}
    return row | {title: quotient(best, *pair, together=together) for title, pair in QUOTIENTS.items()}


def median(times: Times, name: str) -> float | None:
    """The median time of a contender that ran."""
    return statistics.median(times[name]) if name in times else None


def quotient(times: Times, slow: str, fast: str, *, together: Sequence[str]) -> float | None:
    """How many times longer the first takes.

    Formed by round, and the median told, where both ran in turns; of the medians where they did not.
    """
    if slow not in times or fast not in times:
        return None
    if slow in together and fast in together:
        return statistics.median(ratios(times[slow], times[fast]))
    return statistics.median(times[slow]) / statistics.median(times[fast])


def summarise(rows: Sequence[Row]) -> dict[str, float | None]:
    """The geometric mean of each quotient over the rows that have it."""
    return {f"geomean_{title}": geomean([row[title] for row in rows if row[title] is not None]) for title in QUOTIENTS}


def geomean(values: Sequence[float]) -> float | None:
    """The geometric mean, if there is something to take it of."""
    return statistics.geometric_mean(values) if values else None


def line(row: Row) -> str:
    """A row of the table."""
    times = "".join(f"{optional(row[f'{name}_ms'], 3):>12}" for name in COLUMNS)
    return f"{row['model']:<10}{times} |" + "".join(f"{optional(row[title]):>9}" for title in QUOTIENTS)


def table(rows: Sequence[Row], summary: Mapping[str, float | None]) -> str:
    """Every row, the means, and what the columns mean."""
    means = "".join(f"{optional(value):>9}" for value in summary.values())
    total = f"{'geomean':<{10 + 12 * len(COLUMNS)}} |{means}"
    return "\n".join([HEAD, *map(line, rows), total, CLOSING])


def optional(value: float | None, digits: int = 2) -> str:
    """A figure, if there is one."""
    return "-" if value is None else f"{value:.{digits}f}"
