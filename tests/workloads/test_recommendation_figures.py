"""The named runs of recommendation reach what the literature has: docs/workloads.md."""

from pathlib import Path

import pytest
import torch
from rich.console import Console

from distbp import config, job
from distbp.comm.local import LocalCommunicator

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]


def figures(folder: Path, experiment: str, *words: str) -> dict[str, float]:
    """The test metrics of a named run."""
    torch.set_num_threads(1)
    request = config.request(
        f"experiment=recommendation/{experiment}", *words, "evaluate.every=never", f"run_dir={folder}"
    )
    metrics: dict[str, float] = job.train(request, LocalCommunicator(), Console(quiet=True))["metrics"]
    return metrics


def test_matrix_factorization_is_better_than_surprise(tmp_path: Path) -> None:
    folds = [figures(tmp_path / str(fold), "matrix_factorization", f"workload.fold={fold}") for fold in range(5)]
    assert sum(fold["rmse"] for fold in folds) / 5 < 0.910
    assert sum(fold["mae"] for fold in folds) / 5 < 0.720


@pytest.mark.parametrize(("model", "hits", "gain"), [("neumf", 0.63, 0.365), ("gmf", 0.63, 0.365), ("mlp", 0.6, 0.35)])
def test_collaborative_filtering_finds_the_latest_item(tmp_path: Path, model: str, hits: float, gain: float) -> None:
    found = figures(tmp_path / model, model)
    assert found["hr@10"] > hits
    assert found["ndcg@10"] > gain


def test_dlrm_tells_who_earns_more(tmp_path: Path) -> None:
    assert figures(tmp_path / "dlrm", "dlrm")["auc"] > 0.905
