"""The job whose bits do not depend on who started it, alone and as a sweep over both engines."""

import json

import torch
from rich.console import Console

from distbp import config, job
from tests.launch.start import Run, command
from tests.warm import python

REQUEST = {"shards": 4, "seed": 0, "steps": 25, "evaluate.every": "never"}  # an epoch and a part of the next
ENGINES = ("manual", "autograd")


def overrides(folder, **others):
    return [f"{key}={value}" for key, value in {**REQUEST, **others, "run_dir": folder}.items()]


def train(comm, *words):
    """In this process, on a communicator that stands already: the result, which rank 0 has."""
    torch.set_num_threads(1)
    return job.train(config.request(*words), comm, Console(quiet=True))


def sweep(folder, launcher, size):
    """A multirun over the engines: the result of each, from the one directory that its job has."""
    run = Run(command(launcher, size, "-m", f"engine={','.join(ENGINES)}", *overrides(folder), python=python()))
    assert run.wait() == 0, run.stderr
    results = {path.relative_to(folder): json.loads(path.read_text()) for path in folder.rglob("result.json")}
    assert sorted(map(str, results)) == ["0/result.json", "1/result.json"]
    return {result["engine"]: result for result in results.values()}
