"""What find_lr proposes trains the digits to their target, the recipe otherwise as it is."""

import statistics

import pytest
import torch
from rich.console import Console

from distbp import config, job
from distbp.comm.local import LocalCommunicator
from distbp.finding import find_lr

SILENT = Console(quiet=True)


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_the_proposal_trains_digits_cnn(tmp_path):
    torch.set_num_threads(1)
    proposed = find_lr(config.request("experiment=vision/digits_cnn", "threads=1"), LocalCommunicator(), SILENT)["lr"]
    how = ("experiment=vision/digits_cnn", "threads=1", f"optimizer.lr={proposed}", "evaluate.every=never")
    reached = []
    for seed in range(5):
        request = config.request(*how, f"seed={seed}", f"run_dir={tmp_path / str(seed)}")
        reached.append(job.train(request, LocalCommunicator(), SILENT)["metrics"]["accuracy"])
    print(f"optimizer.lr={proposed:g}: {reached}")
    assert statistics.median(reached) >= 0.98
    assert min(reached) >= 0.96
