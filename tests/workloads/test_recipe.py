"""The recipe of the default workload keeps its promise: learning the real digits, in plain torch."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from distbp.data.evaluation import evaluation
from distbp.data.loader import Loader
from distbp.workloads.digits import digits_mlp

RECIPE = Path(__file__).parents[2] / "conf/workload/vision/digits_mlp.yaml"


def trained(recipe: dict[str, Any], *, epochs: int, cache: Path) -> float:
    """The test accuracy after a shortened training on one worker, by the tape."""
    arguments = {name: value for name, value in recipe["workload"].items() if name not in ("name", "_target_")}
    job = digits_mlp(**arguments, path=None, cache=str(cache), seed=0)
    loader = Loader(job.training, batch_size=recipe["batch_size"], shards=1, seed=0, rank=0, size=1)
    optimizer = torch.optim.AdamW(job.module.parameters(), lr=recipe["optimizer"]["lr"], fused=True)
    steps = epochs * loader.steps_per_epoch
    for batch in (batch for epoch in range(epochs) for batch in loader.epoch(epoch)):
        (part,) = batch.parts
        optimizer.param_groups[0]["lr"] = recipe["optimizer"]["lr"] * (1 + math.cos(math.pi * batch.step / steps)) / 2
        optimizer.zero_grad()
        total, count = job.loss(job.module(*part.inputs), part.target)
        (total / count).backward()
        optimizer.step()
    job.module.eval()
    with torch.no_grad():
        blocks = evaluation(job.splits["test"], batch_size=250, rank=0, size=1)
        right = [job.metrics(job.module(*block.inputs), block.target)["accuracy"].item() for block in blocks]
        return sum(right) / len(job.splits["test"])


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Small matrices learn fastest on one thread, beside whatever else runs."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.usefixtures("one_thread")
def test_a_fifth_of_the_recipe_learns_most_of_the_digits(tmp_path: Path) -> None:
    assert trained(yaml.safe_load(RECIPE.read_text()), epochs=10, cache=tmp_path) > 0.94
