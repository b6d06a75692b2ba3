"""The named run of vision/resnet is as good as its twin in plain torch, by the same recipe: docs/workloads.md."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import torch
from rich.console import Console

from distbp import config, job
from distbp.comm.local import LocalCommunicator
from distbp.data.evaluation import evaluation
from distbp.data.loader import Loader
from distbp.data.part import Part
from distbp.schema import Request
from distbp.workloads.base import Workload
from tests.data import picture_folders
from tests.workloads import residual_twin

RUN = ("experiment=vision/resnet", "evaluate.every=never", "threads=1")
SMALL = ("workload.side=8", "batch_size=8", "epochs=2")


def ours(request: Request) -> dict[str, float]:
    metrics: dict[str, float] = job.train(request, LocalCommunicator(), Console(quiet=True))["metrics"]
    return metrics


def twin_s(request: Request) -> dict[str, float]:
    """What the twin comes to, by the same recipe, on the same parts of batches."""
    workload = job.build_workload(request, LocalCommunicator())
    twin = residual_twin.twin_of(workload.module, 1, workload.module.get_submodule("fc").out_features)  # type: ignore
    residual_twin.train(twin, recipe(request, workload), weight_decay=request.optimizer["weight_decay"])
    twin.eval()
    split = workload.splits["val"]
    sums: dict[str, float] = {}
    with torch.no_grad():
        for block in evaluation(split, batch_size=request.batch_size, rank=0, size=1):
            for name, value in workload.metrics(twin(*block.inputs), block.target).items():
                sums[name] = sums.get(name, 0.0) + float(value)
    return {name: value / len(split) for name, value in sums.items()}


def recipe(request: Request, workload: Workload) -> Iterator[tuple[Sequence[Part], float]]:
    """Every batch, in parts, and its rate: that of its middle, in epochs."""
    split, schedule = workload.training, config.build(request.schedule)
    how = {"batch_size": request.batch_size, "shards": request.shards, "seed": request.seed}
    loader = Loader(split, **how, rank=0, size=1, min_part=workload.min_part)
    for epoch in range(request.epochs):
        seen = 0
        for batch in loader.epoch(epoch):
            middle = epoch + (seen + batch.samples / 2) / len(split)
            seen += batch.samples
            yield batch.parts, request.optimizer["lr"] * schedule(middle, request.epochs)


def test_a_short_run_of_both_goes_through(tmp_path: Path) -> None:
    torch.set_num_threads(1)
    path = picture_folders.write(tmp_path / "pictures", train=16)
    request = config.request(*RUN, *SMALL, f"data.path={path}", f"data.cache={tmp_path}", f"run_dir={tmp_path / 'run'}")
    for metrics in (ours(request), twin_s(request)):
        assert set(metrics) >= {"accuracy", "top5"}
        assert metrics["top5"] == 1  # of three classes


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_named_run_is_as_good_as_its_twin(tmp_path: Path, seed: int) -> None:
    torch.set_num_threads(1)
    request = config.request(*RUN, f"seed={seed}", f"run_dir={tmp_path / 'run'}")
    mine, its = ours(request), twin_s(request)
    print(f"seed {seed}: accuracy {mine['accuracy']:.4f}, its twin's {its['accuracy']:.4f}")
    assert abs(mine["accuracy"] - its["accuracy"]) < 0.02
