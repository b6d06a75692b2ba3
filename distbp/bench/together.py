"""Timing what several workers do together: each slice is begun by all of them, and lasts as long as the slowest's."""

import math
from collections.abc import Mapping

from distbp.bench.rounds import SLICE, WARM_UP, Step, Times, rotated, seconds, uncollected
from distbp.comm.base import Communicator, Name

NAME = Name(0, "bench")
TRIAL = 3  # steps whose time says how many make a slice


def together(steps: Mapping[str, Step], counts: Mapping[str, int], comm: Communicator, *, rounds: int) -> Times:
    """Milliseconds a step of each contender in each round, ``counts[name]`` steps a slice. Collective.

    A slice begins after one step that is not timed: it finds what a step of its own kind left in the caches, and not
    what the contender before it did. A worker that is done with a slice waits for the others in a barrier, on a core
    of its own: nothing is timed there.
    """
    times: dict[str, list[float]] = {name: [] for name in steps}
    with uncollected():
        for number in range(rounds):
            for name in rotated(list(steps), number):
                steps[name]()
                comm.barrier(name=NAME)
                times[name].append(1000 * seconds(steps[name], counts[name]) / counts[name])
    everyone = comm.gather_json(times, name=NAME)
    return {name: [max(of_round) for of_round in zip(*(own[name] for own in everyone), strict=True)] for name in steps}


def slice_length(step: Step, comm: Communicator) -> int:
    """How many steps make a slice, the same number on every worker. Collective, as the step may be."""
    seconds(step, WARM_UP)
    taken: float = max(comm.gather_json(seconds(step, TRIAL) / TRIAL, name=NAME))
    return math.ceil(SLICE / taken)
