"""A workload in float64, trained by the project's own trainer or shown to a loop of somebody else's."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from distbp.comm.local import LocalCommunicator
from distbp.data.loader import Loader
from distbp.data.part import Part
from distbp.data.split import Split
from distbp.engines.autograd import AutogradEngine
from distbp.engines.base import Destination
from distbp.engines.manual import ManualEngine
from distbp.record import Silence
from distbp.training import optimizers
from distbp.training.data_parallel import DataParallel
from distbp.training.plan import Plan
from distbp.training.schedules import constant
from distbp.training.trainer import Trainer
from distbp.workloads.base import Workload

ENGINES = {"manual": ManualEngine, "autograd": AutogradEngine}
STEPS = 50


class Wide(Split):
    """A split whose numbers are in float64."""

    def __init__(self, split: Split) -> None:
        self.split, self.draws = split, split.draws

    def __len__(self) -> int:
        return len(self.split)

    @property
    def segments(self) -> int:
        return self.split.segments

    def segment(self, number: int) -> Split:
        return Wide(self.split.segment(number))

    def batch(self, samples: np.ndarray, draws: np.ndarray) -> tuple[tuple[Tensor, ...], Tensor]:
        inputs, target = self.split.batch(samples, draws)
        return tuple(wide(x) for x in inputs), wide(target)


def wide(x: Tensor) -> Tensor:
    return x.double() if x.is_floating_point() else x


def widened(workload: Workload) -> Workload:
    """The same job in float64."""
    return replace(workload, module=workload.module.double(), training=Wide(workload.training))


def batches(split: Split, batch_size: int) -> Iterator[Part]:
    """What 50 steps see, whoever makes them."""
    loader = Loader(split, batch_size=batch_size, shards=1, seed=0, rank=0, size=1)
    parts = (part for epoch in range(STEPS) for batch in loader.epoch(epoch) for part in batch.parts)
    return (part for _, part in zip(range(STEPS), parts, strict=False))


def trained(
    workload: Workload, engine: str, folder: Path, *, batch_size: int, optimizer: str, lr: float, **told: Any
) -> dict[str, Tensor]:
    """The weights after 50 steps of the trainer."""
    torch.set_num_threads(1)
    loader = Loader(workload.training, batch_size=batch_size, shards=1, seed=0, rank=0, size=1)
    parallel = DataParallel(
        workload.module, workload.loss, engine=engine, begin=workload.begin, comm=LocalCommunicator()
    )
    parallel.prepare(loader.example())
    parallel.divide_update()
    config = {"optimizer": {"_target_": optimizer}, "shards": 1, "threads": 1}
    Trainer(
        workload,
        parallel,
        loader,
        optimizer=getattr(optimizers, optimizer)(parallel.updated, lr=lr, **told),
        schedule=constant(),
        plan=Plan(STEPS, STEPS, lr, batch_size, "never", None, 1, config=config),
        split=workload.training,
        run_dir=folder,
    ).fit(Silence())
    return {name: weight.clone() for name, weight in workload.module.state_dict().items()}


def gradients(workload: Workload, engine: str, part: Part) -> dict[str, Tensor]:
    """The gradient of every parameter over one part, those of tables as tables."""
    runner = ENGINES[engine](workload.module, workload.loss)
    state = workload.begin(len(part))
    runner.prepare(part, state)
    parameters = {name: p.detach() for name, p in workload.module.named_parameters()}
    places = {name: torch.full_like(parameters[name], torch.nan) for name in runner.emissions}
    rows = runner.gradients(part, Destination(places), state).rows
    return places | {name: found.dense(parameters[name]) for name, found in rows.items()}
