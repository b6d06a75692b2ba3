"""The laws of every workload: both engines train it, and the number of workers changes nothing, not a bit.

The table is what ``tests/workloads/small`` holds; a workload of conf/ that is not in it fails here.
"""

import json
import math
import os
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

import pytest
import torch
from rich.console import Console

from distbp import config, job
from tests.workloads import small
from tests.workloads.small import Small

FAMILIES = [import_module(f"{small.__name__}.{module.name}") for module in iter_modules(small.__path__)]
WORKLOADS: dict[str, Small] = {name: entry for family in FAMILIES for name, entry in family.SMALL.items()}
CONF = config.conf_dir() / "workload"
CLOCK = ("samples_per_second", "step_ms")


def train(comm, *request):
    """What rank 0 writes into ``result.json``."""
    torch.set_num_threads(1)
    return job.train(config.request(*request), comm, Console(quiet=True))


def evaluate(comm, *request):
    """The metrics of a checkpoint on every split that its workload has."""
    torch.set_num_threads(1)
    asked = config.request(*request, f"output={os.devnull}")
    found = []
    for split in job.build_workload(asked, comm).splits:
        of_split = asked.evaluate.model_copy(update={"split": split})  # composing anew takes longer than the evaluation
        one = asked.model_copy(update={"evaluate": of_split})
        found.append(job.evaluate(one, comm, Console(quiet=True))["metrics"])
    return found


def told(folder):
    """The lines of a run without their times."""
    lines = map(json.loads, (folder / "metrics.jsonl").read_text().splitlines())
    return [{key: value for key, value in line.items() if key not in CLOCK} for line in lines]


def test_every_workload_is_held_to_the_laws() -> None:
    assert sorted(WORKLOADS) == sorted(str(p.relative_to(CONF).with_suffix("")) for p in CONF.rglob("*.yaml"))


@pytest.mark.parametrize("engine", ["manual", "autograd"])
@pytest.mark.parametrize("name", WORKLOADS)
def test_two_workers_give_the_bits_of_one(pool, tmp_path: Path, name: str, engine: str) -> None:
    """Three steps on four parts, the last one ragged, with a look at every layer, and an evaluation of each split."""
    entry = WORKLOADS[name]
    words = [
        f"workload={name}", f"data.path={entry.write(tmp_path)}", f"engine={engine}",
        "batch_size=20", *entry.settings, "shards=4", "steps=3", "log.every=1", "log.layers=1",
    ]  # fmt: skip
    one, two = (
        pool.run(kind, size, train, *words, f"run_dir={tmp_path / kind}")[0]
        for kind, size in (("local", 1), ("mpi", 2))
    )
    assert one["steps"] == two["steps"] == 3
    assert one["weights_sha256"] == two["weights_sha256"]
    assert one["metrics"] == two["metrics"]
    assert all(math.isfinite(figure) for figure in one["metrics"].values())
    lines = [told(tmp_path / kind) for kind in ("local", "mpi")]
    assert lines[0] == lines[1]
    assert {line["step"] for line in lines[0] if "layers" in line} == {1, 2, 3}
    resume = f"resume={tmp_path / 'mpi'}"
    splits, again = (pool.run(kind, size, evaluate, *words, resume)[0] for kind, size in (("local", 1), ("mpi", 2)))
    assert splits == again
    assert all(math.isfinite(figure) for metrics in splits for figure in metrics.values())
    assert any(one["metrics"].items() <= metrics.items() for metrics in splits)
