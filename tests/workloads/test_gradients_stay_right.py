"""The law of float32 on the way: from the weights of steps 0, 50 and 200 both engines' gradients are the exact ones.

DESIGN.md's Engine contract: the error against the float64 gradient is at most 1e-5, or twice that of torch's tape.
"""

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from rich.console import Console

from distbp import config, job
from distbp.comm.local import LocalCommunicator
from distbp.data.loader import Loader
from distbp.training.checkpoint import fill_module as fill
from distbp.training.checkpoint import load
from distbp.training.shelf import saved
from distbp.workloads.base import Workload
from tests.engines.agreement import beyond, excesses
from tests.workloads.test_every_workload import WORKLOADS
from tests.workloads.wide import ENGINES, gradients, widened

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]

STEPS = (0, 50, 200)
VANISHING = ("key.bias",)
"""Attention's weights sum to 1, so what moves all scores alike has no gradient, and to begin with this bias does little
else: measured by its own norm, its rounding is that of the terms that cancel."""


def trained(name: str, folder: Path) -> Iterator[tuple[int, Workload]]:
    """A small job by its own recipe, with the weights of each of the steps."""
    entry = WORKLOADS[name]
    request = config.request(
        f"workload={name}", f"data.path={entry.write(folder)}", "batch_size=22", *entry.settings, "shards=1",
        "steps=200", "epochs=200", "evaluate.every=never", "checkpoint.every=50", "checkpoint.keep=9",
        f"run_dir={folder / 'run'}",
    )  # fmt: skip
    workload = job.build_workload(request, LocalCommunicator())
    yield 0, workload
    job.train(request, LocalCommunicator(), Console(quiet=True))
    checkpoints = {found.step: found for found in map(load, saved(folder / "run/checkpoints"))}
    for step in STEPS[1:]:
        fill(workload.module, checkpoints[step])
        yield step, workload


def another(workload: Workload) -> Workload:
    """The same weights in a module of its own."""
    return replace(workload, module=deepcopy(workload.module))


@pytest.mark.parametrize("name", WORKLOADS)
def test_gradients_in_float32_hold_to_the_contract(name: str, tmp_path: Path) -> None:
    torch.set_num_threads(1)
    for step, workload in trained(name, tmp_path):
        part = Loader(workload.training, batch_size=22, shards=1, seed=1, rank=0, size=1).example()
        wide = widened(another(workload))
        exact_part = Loader(wide.training, batch_size=22, shards=1, seed=1, rank=0, size=1).example()
        manual, autograd = (gradients(another(workload), engine, part) for engine in ENGINES)
        exact = gradients(wide, "autograd", exact_part)
        assert any(float(gradient.norm()) > 0 for gradient in exact.values())
        assert beyond(1.0, excesses(manual, autograd, exact, VANISHING)) == {}, step
