"""The law of metrics: exact over the whole split, once each sample, the same bits on any number of workers."""

import math

import pytest
import torch
from torch import nn

from distbp.training.evaluation import evaluate
from distbp.workloads.base import Workload
from tests.data.counted import Counted

N = 23


class Halves(nn.Module):
    """x / 2 of the sample's number, to be compared with it."""

    def forward(self, numbers, _draws):
        return numbers[:, 0] / 2


def figures(comm, batch_size: int) -> list[float]:
    """Sums, their summary, and one that needs every example: the n-th power of a tenth, summed in order."""

    def summary(means, scores):
        assert scores.shape == (N, 2)
        assert torch.equal(scores[:, 1], torch.arange(N, dtype=torch.float64))
        return {"rmse": math.sqrt(means["squares"]), "loss": means["loss"], "mean": float(scores[:, 0].mean())}

    workload = Workload(
        module=Halves(),
        loss=lambda output, target: ((output - target["number"]).abs().sum(), len(output)),
        metrics=lambda output, target: {"squares": (output - target["number"]).square().sum()},
        training=Counted(N),
        splits={},
        scores=lambda output, target: torch.stack([output, target["number"]], dim=1),
        summary=summary,
    )
    found = evaluate(workload, Counted(N), comm, batch_size=batch_size, step=3)
    return [found[name] for name in ("rmse", "loss", "mean")]


@pytest.mark.parametrize("kind", ["threads", "mpi", "torch"])
@pytest.mark.parametrize("batch_size", [4, 30])
def test_metrics_are_exact_on_any_number_of_workers(pool, kind: str, batch_size: int) -> None:
    expected = [math.sqrt(sum(s * s for s in range(N)) / 4 / N), 11 / 2, 11 / 2]
    for size in (1, 2, 3):
        for found in pool.run(kind, size, figures, batch_size):
            assert found == pytest.approx(expected, rel=1e-12)
            assert found == pool.run("local", 1, figures, batch_size)[0]
