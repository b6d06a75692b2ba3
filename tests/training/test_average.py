"""The average of the weights is the plain recursion's, on any number of workers, and is what an evaluation sees."""

import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file

from distbp import config, job
from distbp.comm import threads
from distbp.comm.base import Name
from distbp.reduction.layout import plan
from distbp.training.average import Average
from distbp.training.shelf import saved
from distbp.training.weights import Weights

DECAY = 0.9
HOW = ["epochs=1", "batch_size=128", "shards=3", f"average.decay={DECAY}", "clip.norm=0.5", "groups.decay=matrices"]


def averaged(comm, steps, stop):
    """The average by name after ``steps`` of a walk, saved and restored after ``stop``; what is shown; the weights."""
    tensors = {"a": torch.zeros(3000), "b": torch.zeros(7, 5)}
    layouts = plan(tensors.items(), bucket_bytes=4096, size=comm.size)
    window = comm.allocate(sum(layout.bytes for layout in layouts), name=Name(0, "start"))
    gradients = [layout.allocate(comm.device) for layout in layouts]
    weights = Weights(layouts, tensors, gradients, window, comm)
    average = Average(DECAY, weights)
    for step in range(steps):
        for share in weights.shares:
            share.add_(step + 1.0)
        average.move()
        weights.spread(step=step)
        if step == stop:
            state = average.by_name(step=step)
            average = Average(DECAY, weights)
            average.restore(state)
    with average.shown(step=steps):
        shown = {name: tensor.clone() for name, tensor in tensors.items()}
        comm.barrier(name=Name(steps, "test"))
    comm.barrier(name=Name(steps, "test"))
    return average.by_name(step=steps), shown, {name: tensor.clone() for name, tensor in tensors.items()}


@pytest.mark.parametrize("size", [1, 2, 3])
def test_it_is_the_recursion(size):
    value = mean = torch.tensor(0.0)
    for step in range(6):
        value = value + step + 1.0
        mean = mean.lerp(value, 1 - DECAY)
    for state, shown, weights in threads.run(size, averaged, 6, 3):
        for name in ("a", "b"):
            assert torch.equal(state[f"average/{name}"], torch.full_like(weights[name], mean.item()))
            assert torch.equal(shown[name], state[f"average/{name}"])
            assert torch.equal(weights[name], torch.full_like(weights[name], value.item()))


def run(comm, folder, *overrides):
    request = config.request(*HOW, f"run_dir={folder}", "log.every=1", "device=cpu", *overrides)
    return job.train(request, comm, Console(quiet=True))


def evaluate(comm, folder, *overrides):
    request = config.request(*HOW, f"resume={folder}", "device=cpu", *overrides)
    return job.evaluate(request, comm, Console(quiet=True))


def test_a_run_is_evaluated_with_it_whoever_goes_on(tmp_path):
    (whole,) = threads.run(1, run, tmp_path / "whole")
    threads.run(3, run, tmp_path / "cut", "steps=9")
    resumed, _ = threads.run(2, run, tmp_path / "cut", "resume=latest")
    assert resumed["weights_sha256"] == whole["weights_sha256"]
    assert (resumed["metrics"], resumed["split_loss"]) == (whole["metrics"], whole["split_loss"])
    (told,) = threads.run(1, evaluate, tmp_path / "whole")
    assert told["metrics"] == {"loss": whole["split_loss"], **whole["metrics"]}
    checkpoint = saved(tmp_path / "whole" / "checkpoints")[-1]
    model, state = (load_file(checkpoint / f"{name}.safetensors") for name in ("model", "optimizer"))
    assert not torch.equal(model["1.weight"], state["average/1.weight"])
