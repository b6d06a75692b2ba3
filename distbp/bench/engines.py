"""The comparison of the engines: time and memory of one training step, model by model, on one thread and on all."""

import statistics
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from distbp.bench.contenders import Autograd, Compiled, Contender, Manual
from distbp.bench.memory import Memory, memory
from distbp.bench.rounds import Times, race, ratios, spread
from distbp.bench.setting import Setting
from distbp.precision import FP32

HEAD = (
    f"{'model':<10}{'threads':>8}{'manual ms':>18}{'autograd ms':>18}{'compile ms':>18}"
    f"{'ratio':>8}{'compile':>9}{'memory':>8}{'fp32':>8}"
)
CONTENDERS = ("manual", "autograd", "compile")
Row = dict[str, Any]


def bench(
    models: Sequence[str],
    threads: Sequence[int],
    *,
    rounds: int,
    compiled: bool,
    setting: Setting,
    say: Callable[[str], None],
) -> dict[str, Any]:
    """``rows`` and ``summary`` of the comparison; each row is said as soon as it is known, then the summary."""
    say(HEAD)
    rows = []
    for row in compare(models, threads, setting, rounds=rounds, compiled=compiled):
        say(line(row))
        rows.append(row)
    summary = summarise(rows)
    say(closing(summary))
    return {"rows": rows, "summary": summary}


def compare(
    models: Sequence[str], threads: Sequence[int], setting: Setting, *, rounds: int, compiled: bool
) -> Iterator[Row]:
    """A row for each model and number of threads. A model's memory is that of one thread, in each of its rows."""
    for model in models:
        peaks = {engine: memory(model, engine, setting) for engine in ("manual", "autograd")}
        for number in threads:
            with thread_count(number):
                steps = {name: contender.step for name, contender in contenders(model, setting, compiled=compiled)}
                yield make_row(model, number, race(steps, rounds=rounds, settle=setting.settle), peaks)


def contenders(model: str, setting: Setting, *, compiled: bool) -> Iterator[tuple[str, Contender]]:
    """The ways to train a model, each with its own module and batch, all equal in the beginning.

    In another precision than fp32 the manual engine runs once more in that.
    """
    precision = setting.precision
    yield "manual", Manual(setting.case(model), precision=precision)
    yield "autograd", Autograd(setting.case(model), precision=precision)
    if precision != FP32:
        yield "fp32", Manual(setting.case(model))
    if compiled:
        contender = Compiled(setting.case(model), precision=precision)
        try:
            contender.step()
        except Exception as error:  # whatever stops torch.compile here: no C++ compiler, first of all
            reason = str(error).strip().partition("\n")[0]
            print(f"compile: none for {model}: {type(error).__name__}: {reason}", file=sys.stderr, flush=True)
        else:
            yield "compile", contender


def make_row(model: str, threads: int, times: Times, peaks: Mapping[str, Memory]) -> Row:
    """Medians and spreads (interquartile ranges) over the rounds; a ratio above 1: autograd takes longer."""
    compiled, wide = times.get("compile"), times.get("fp32")
    by_round = ratios(times["autograd"], times["manual"])
    by_round_compiled = ratios(times["autograd"], compiled) if compiled else None
    return {
        "model": model,
        "threads": threads,
        "manual_ms": statistics.median(times["manual"]),
        "autograd_ms": statistics.median(times["autograd"]),
        "compile_ms": statistics.median(compiled) if compiled else None,
        "ratio": statistics.median(by_round),
        "ratio_spread": spread(by_round),
        "compile_ratio": statistics.median(by_round_compiled) if by_round_compiled else None,
        "fp32_ms": statistics.median(wide) if wide else None,
        "fp32_ratio": statistics.median(ratios(wide, times["manual"])) if wide else None,
        "memory_ratio": peaks["manual"]["peak"] / peaks["autograd"]["peak"],
        "manual_spread_ms": spread(times["manual"]),
        "autograd_spread_ms": spread(times["autograd"]),
        "compile_spread_ms": spread(compiled) if compiled else None,
        "memory_bytes": {engine: dict(found) for engine, found in peaks.items()},
    }


def summarise(rows: Sequence[Row]) -> dict[str, float | None]:
    """Geometric means over the rows; those of torch.compile and of fp32 over those rows that have one."""
    compiled, wide = ([row[key] for row in rows if row[key] is not None] for key in ("compile_ratio", "fp32_ratio"))
    return {
        "geomean_ratio": statistics.geometric_mean(row["ratio"] for row in rows),
        "geomean_memory_ratio": statistics.geometric_mean(row["memory_ratio"] for row in rows),
        "geomean_compile_ratio": statistics.geometric_mean(compiled) if compiled else None,
        "geomean_fp32_ratio": statistics.geometric_mean(wide) if wide else None,
    }


def line(row: Row) -> str:
    """A row of the table."""
    times = "".join(f"{figure(row[f'{name}_ms'], row[f'{name}_spread_ms']):>18}" for name in CONTENDERS)
    return (
        f"{row['model']:<10}{row['threads']:>8}{times}"
        f"{row['ratio']:>8.2f}{optional(row['compile_ratio']):>9}{row['memory_ratio']:>8.2f}"
        f"{optional(row['fp32_ratio']):>8}"
    )


def closing(summary: Mapping[str, float | None]) -> str:
    """The table's last line, and what its columns mean."""
    ratio, saved, compiled, wide = (
        optional(summary[f"geomean_{name}"]) for name in ("ratio", "memory_ratio", "compile_ratio", "fp32_ratio")
    )
    return (
        f"{'geomean':<72}{ratio:>8}{compiled:>9}{saved:>8}{wide:>8}\n"
        "ms: median a step (interquartile range); ratio: autograd/manual; compile: autograd/compile;\n"
        "memory: manual/autograd, peak of a step beyond model, batch, gradients and optimizer state;\n"
        "fp32: manual in fp32/manual, where the others compute in another precision"
    )


def figure(median: float | None, iqr: float | None) -> str:
    """A time with its spread."""
    return "-" if median is None else f"{median:.3f} ({iqr:.3f})"


def optional(value: float | None) -> str:
    """A ratio, if there is one."""
    return "-" if value is None else f"{value:.2f}"


@contextmanager
def thread_count(number: int) -> Iterator[None]:
    """torch computes with this many threads within."""
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)
