"""The named runs of language models come to the perplexity of their twins in plain torch: docs/workloads.md."""

from pathlib import Path

import pytest
import torch
from rich.console import Console

from distbp import config, job
from distbp.comm.local import LocalCommunicator
from tests.workloads import language_twins

pytestmark = [pytest.mark.long, pytest.mark.timeout(1800)]
SEEDS = 1.15  # between two seeds: when a net leaves the frequencies of the units behind depends on where it begins


@pytest.mark.parametrize("experiment", ["lstm_small", "gpt_small"])
def test_a_named_run_reads_as_well_as_its_twin(tmp_path: Path, experiment: str) -> None:
    torch.set_num_threads(1)
    request = config.request(f"experiment=nlp/{experiment}", "evaluate.every=never", f"run_dir={tmp_path / 'run'}")
    found = job.train(request, LocalCommunicator(), Console(quiet=True))
    assert found["metrics"]["perplexity"] < SEEDS * language_twins.perplexity(experiment)
    assert found["sample"]
