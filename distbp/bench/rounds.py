"""Timing contenders against each other: a slice of steps of each, in rounds, so that a machine's moods meet all alike.

A ratio is formed within a round, between slices that ran right after each other; its median over the rounds is told.
"""

import gc
import math
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

SLICE = 0.1  # s that the steps of one slice take together
WARM_UP = 2  # steps, of which the first may lower or compile

Step = Callable[[], object]
Times = Mapping[str, Sequence[float]]
"""Milliseconds a step: of each contender, round by round."""


def nothing() -> None:
    """What a CPU has to wait for when a step has returned."""


def race(steps: Mapping[str, Step], *, rounds: int, settle: Step = nothing) -> Times:
    """Milliseconds a step of each contender in each round; whoever begins a round is last in the next.

    A slice ends when ``settle`` returns: that of a GPU waits until it has done what it was given.
    """
    counts = {name: warm_up(step, settle) for name, step in steps.items()}
    times: dict[str, list[float]] = {name: [] for name in steps}
    with uncollected():
        for number in range(rounds):
            for name in rotated(list(steps), number):
                times[name].append(1000 * seconds(steps[name], counts[name], settle) / counts[name])
    return times


def warm_up(step: Step, settle: Step = nothing) -> int:
    """How many steps make a slice, found by taking ever more of them."""
    seconds(step, WARM_UP, settle)
    count, taken = 1, seconds(step, 1, settle)
    while taken < SLICE / 2:
        count *= 2
        taken = seconds(step, count, settle)
    return math.ceil(count * SLICE / taken)


def seconds(step: Step, count: int, settle: Step = nothing) -> float:
    """The time that ``count`` steps take, and what they have left to do."""
    begun = time.perf_counter()
    for _ in range(count):
        step()
    settle()
    return time.perf_counter() - begun


def rotated(names: Sequence[str], number: int) -> list[str]:
    """``names``, beginning with another one in each round."""
    first = number % len(names)
    return [*names[first:], *names[:first]]


@contextmanager
def uncollected() -> Iterator[None]:
    """No garbage collection within, as timeit does: it would fall on whose turn it happens to be."""
    enabled = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def spread(values: Sequence[float]) -> float:
    """The interquartile range."""
    low, _, high = statistics.quantiles(values, n=4, method="inclusive")
    return high - low


def ratios(slow: Sequence[float], fast: Sequence[float]) -> list[float]:
    """How many times longer the first takes than the second, round by round."""
    return [a / b for a, b in zip(slow, fast, strict=True)]
