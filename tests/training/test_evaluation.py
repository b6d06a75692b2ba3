"""The law of metrics: exact over the whole split, once each sample, the same bits on any number of workers."""

import math

import pytest
import torch
from torch import nn

from distbp.comm.local import LocalCommunicator
from distbp.data.split import Split
from distbp.errors import RequestError
from distbp.precision import FP32
from distbp.training.evaluation import evaluate, first_sample
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


def classified(**others) -> Workload:
    """Seven of ten samples are taken for what they are."""
    return Workload(**{
        "module": Classes(),
        "loss": nn.CrossEntropyLoss(),
        "metrics": lambda output, target: {"accuracy": (output.argmax(1) == target).sum()},
        "training": Numbered(),
        "splits": {},
        **others,
    })  # fmt: skip


class Classes(nn.Module):
    """Says of each number whether it is below 5."""

    def forward(self, numbers):
        return torch.stack([numbers, torch.full_like(numbers, 5.0)], dim=1)


class Numbered(Split):
    """0 to 9, of which 0 to 7 are said to be below 5."""

    def __len__(self):
        return 10

    def batch(self, samples, draws):
        numbers = torch.tensor(samples)
        return (numbers.float(),), (numbers < 8).long()


@pytest.mark.parametrize("kind", [nn.CrossEntropyLoss, nn.NLLLoss])
@pytest.mark.parametrize("weight", [[1.0, 1.0], [1.0, 3.0], [0.1, 0.3]])
def test_metrics_are_of_the_targets_whatever_their_classes_weigh(kind, weight) -> None:
    loss = kind(weight=torch.tensor(weight))
    found = evaluate(classified(loss=loss), Numbered(), LocalCommunicator(), batch_size=3, step=0)
    (inputs, target) = Numbered().batch(list(range(10)), [])
    assert found["accuracy"] == 0.7
    assert found["loss"] == pytest.approx(loss(Classes()(*inputs), target).item())


def test_what_a_summary_gives_are_numbers() -> None:
    workload = classified(summary=lambda means, _scores: {"accuracy": torch.tensor(means["accuracy"])})
    found = evaluate(workload, Numbered(), LocalCommunicator(), batch_size=3, step=0)
    assert [type(value) for value in found.values()] == [float]


@pytest.mark.parametrize(
    ("others", "said"),
    [
        ({"metrics": lambda output, target: {"count": output.sum()}}, "metrics=count: another name is needed"),
        ({"scores": lambda output, target: output[:, 0]}, r"scores=\(1,\): a row of numbers for each of the 1 samples"),
        ({"scores": lambda output, target: output[:0]}, r"scores=\(0, 2\): a row of numbers for each of the 1 samples"),
    ],
)
def test_what_is_no_metric_is_refused_before_the_training(others, said) -> None:
    with pytest.raises(RequestError, match=said):
        first_sample(classified(**others), Numbered(), device=torch.device("cpu"), precision=FP32)
