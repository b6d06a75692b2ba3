"""The default workload with a fault in it: on one rank, at one step, the data does something terrible."""

import os
import signal
import sys
import time
from dataclasses import replace
from typing import Literal

from distbp.data.split import Split
from distbp.workloads.base import Workload
from distbp.workloads.digits import digits_mlp

FAULTS = {
    "none": lambda: None,
    "raise": lambda: (_ for _ in ()).throw(ValueError("boom")),
    "exit": lambda: sys.exit(0),
    "kill": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "sleep": lambda: time.sleep(3600),
}


class Faulty(Split):
    """A split that is slow, so that a job can be caught in the act, and fails when its turn has come."""

    def __init__(self, split, fault, rank, step):
        self.split, self.fault, self.rank, self.step = split, fault, rank, step
        self.draws = split.draws
        self.calls = 0

    def __len__(self):
        return len(self.split)

    def batch(self, samples, draws):
        if self.calls == self.step + 1 and rank() == self.rank:  # the first call was for the example
            FAULTS[self.fault]()
        self.calls += 1
        time.sleep(0.02)
        return self.split.batch(samples, draws)


def rank():
    return int(os.environ.get("OMPI_COMM_WORLD_RANK") or os.environ.get("RANK") or 0)


def faulty(
    *,
    fault: Literal["none", "raise", "exit", "kill", "sleep"],
    rank: int,
    step: int,
    path: str | None,
    cache: str,
    seed: int,
) -> Workload:
    straight = {"rotation": 0.0, "scale": 0.0, "shear": 0.0, "shift": 0.0}
    workload = digits_mlp(hidden=[32], dropout=0.1, **straight, path=path, cache=cache, seed=seed)
    return replace(workload, training=Faulty(workload.training, fault, rank, step))
