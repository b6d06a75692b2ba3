"""The default workload with a fault in it: on one rank, at one step, the data does something terrible."""

import os
import signal
import sys
import time
from dataclasses import replace
from typing import Literal, get_args

from torch import nn

from distbp.data.split import Split
from distbp.workloads.base import Workload
from distbp.workloads.digits import digits_mlp
from tests.faults import disagreement

Fault = Literal[
    "none", "raise", "exit", "kill", "nap", "sleep", "stop", "skip_sum", "skip_collective", "other_order",
    "other_shape", "other_dtype", "late", "freeze", "flip", "not_a_number", "other_data",
    "slow_disk",
]  # fmt: skip


def slow_disk(_module):
    """From now on the disk of this process takes a second for what it is to hold."""
    os.fsync = lambda _descriptor: time.sleep(1)


FAULTS = {
    "slow_disk": slow_disk,
    "none": lambda module: None,
    "raise": lambda module: (_ for _ in ()).throw(ValueError("boom")),
    "exit": lambda module: sys.exit(0),
    "kill": lambda module: os.kill(os.getpid(), signal.SIGKILL),
    "nap": lambda module: [time.sleep(0.05) for _ in range(20)],  # in bits: a process that is stopped sleeps on
    "flip": disagreement.flip,
    **{
        name: lambda module, fault=fault: fault()
        for name, fault in vars(disagreement).items()
        if name in get_args(Fault) and name != "flip"
    },
}


class Faulty(Split):
    """A split that is slow, so that a job can be caught in the act, and fails when its turn has come."""

    def __init__(self, split, module: nn.Module, fault, rank, step):
        self.split, self.module, self.fault, self.rank, self.step = split, module, fault, rank, step
        self.draws = split.draws
        self.calls = 0

    def __len__(self):
        return len(self.split)

    def batch(self, samples, draws):
        due = self.calls == self.step + 2  # the first calls were for the example and for the fingerprint
        if due and self.fault in FAULTS and this_rank() == self.rank:
            FAULTS[self.fault](self.module)
        self.calls += 1
        time.sleep(0.02)
        (pictures,), labels = self.split.batch(samples, draws)
        return (pictures + (self.fault == "other_data" and this_rank() == self.rank),), labels


def this_rank():
    return int(os.environ.get("OMPI_COMM_WORLD_RANK") or os.environ.get("RANK") or 0)


def faulty(
    *,
    fault: Fault,
    rank: int,
    step: int,
    path: str | None,
    cache: str,
    seed: int,
) -> Workload:
    straight = {"rotation": 0.0, "scale": 0.0, "shear": 0.0, "shift": 0.0}
    workload = digits_mlp(hidden=[32], dropout=0.1, **straight, path=path, cache=cache, seed=seed)
    if fault == "freeze" and this_rank() == rank:
        dict(workload.module.named_parameters())["4.weight"].requires_grad_(False)
    return replace(workload, training=Faulty(workload.training, workload.module, fault, rank, step))
