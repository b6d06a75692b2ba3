"""The named runs of vision/transfer: two that begin with ImageNet's weights are above one from nothing, same budget."""

from pathlib import Path

import pytest
import torch
from rich.console import Console

from distbp import config, job
from distbp.comm.local import LocalCommunicator

STEP = "step-00000130"  # the last of the first run
ABOVE = 0.05  # of the accuracy, whose standard error on 10,000 pictures is 0.004


def accuracy(name: str, run_dir: Path, *words: str) -> float:
    """What a named run comes to on the test pictures."""
    request = config.request(f"experiment=vision/transfer_{name}", *words, "evaluate.every=never", f"run_dir={run_dir}")
    return float(job.train(request, LocalCommunicator(), Console(quiet=True))["metrics"]["accuracy"])


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_imagenet_s_weights_are_worth_more_than_as_many_epochs_from_nothing(tmp_path: Path, seed: int) -> None:
    torch.set_num_threads(1)
    frozen = accuracy("frozen", tmp_path / "frozen", f"seed={seed}")
    weights = tmp_path / "frozen/checkpoints" / STEP / "model.safetensors"
    tuned = accuracy("tuned", tmp_path / "tuned", f"seed={seed}", f"workload.weights={weights}")
    scratch = accuracy("scratch", tmp_path / "scratch", f"seed={seed}")
    print(f"seed {seed}: frozen {frozen:.4f}, tuned {tuned:.4f}, from nothing {scratch:.4f}")
    assert tuned > frozen
    assert tuned > scratch + ABOVE
