"""The law of every metric: scikit-learn's figure over the whole split, to the same bits on any number of workers.

A row is what a module has put out for some examples, what is right, and the oracle. The evaluation sees them in blocks,
the last one ragged, dealt out to the workers.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import (
    accuracy_score,
    log_loss,
    mean_absolute_error,
    ndcg_score,
    roc_auc_score,
    root_mean_squared_error,
    top_k_accuracy_score,
)
from torch import Tensor, nn

from distbp.data.split import Split
from distbp.data.windows import IGNORED
from distbp.training.evaluation import evaluate
from distbp.workloads import classifier, dlrm, language, matrix_factorization, neumf, pictures, ranking
from distbp.workloads.base import Workload

N = 53
DRAWS = torch.Generator().manual_seed(0)


class Told(Split):
    """Outputs that are given, as inputs of a module that passes them on."""

    def __init__(self, output: Tensor, target: Tensor) -> None:
        self.output, self.target = output, target

    def __len__(self) -> int:
        return len(self.target)

    def batch(self, samples: np.ndarray, draws: np.ndarray) -> tuple[tuple[Tensor], Tensor]:
        return (self.output[samples],), self.target[samples]


@dataclass(frozen=True)
class Row:
    """Outputs and targets, the parts of a Workload that measure them, and the figures that must come out."""

    output: Tensor
    target: Tensor
    parts: Mapping[str, Any]
    expected: Mapping[str, float]


def classes() -> Row:
    output, target = torch.randn(N, 10, generator=DRAWS), torch.randint(10, (N,), generator=DRAWS)
    expected = {"loss": log_loss(target, output.double().softmax(1), labels=range(10))}
    expected["accuracy"] = accuracy_score(target, output.argmax(1))
    return Row(output, target, {"loss": pictures.cross_entropy, "metrics": pictures.accuracy}, expected)


def two_classes() -> Row:
    """Texts; some margins are equal, which counts half."""
    output, target = torch.randn(N, 2, generator=DRAWS).round(decimals=1), torch.randint(2, (N,), generator=DRAWS)
    parts = {
        "loss": pictures.cross_entropy, "metrics": pictures.accuracy,
        "scores": classifier.margin, "summary": classifier.with_area,
    }  # fmt: skip
    score = (output[:, 1] - output[:, 0]).numpy()
    assert len(np.unique(score)) < N
    expected = {"accuracy": accuracy_score(target, output.argmax(1)), "auc": roc_auc_score(target, score)}
    return Row(output, target, parts, expected)


def clicks() -> Row:
    output, target = torch.randn(N, generator=DRAWS), torch.randint(2, (N,), generator=DRAWS).float()
    parts = {
        "loss": dlrm.cross_entropy, "metrics": dlrm.accuracy, "scores": dlrm.with_label, "summary": dlrm.with_area,
    }  # fmt: skip
    expected = {
        "logloss": log_loss(target, output.double().sigmoid()),
        "accuracy": accuracy_score(target, output > 0),
        "auc": roc_auc_score(target, output),
    }
    return Row(output, target, parts, expected)


def ratings() -> Row:
    """What is expected beyond 1 to 5 counts as 1 or 5."""
    output, target = 3 + 2 * torch.randn(N, generator=DRAWS), torch.randint(1, 6, (N,), generator=DRAWS).float()
    errors = matrix_factorization.Errors(1.0, 5.0)
    parts = {
        "loss": lambda output, target: ((output - target).square().sum(), len(target)),
        "metrics": lambda output, target: errors((output, output), target),
        "summary": matrix_factorization.root,
    }
    clamped = output.clamp(1, 5)
    expected = {"rmse": root_mean_squared_error(target, clamped), "mae": mean_absolute_error(target, clamped)}
    return Row(output, target, parts, expected)


def candidates() -> Row:
    """The right item is the first of thirty."""
    output = torch.randn(N, 30, generator=DRAWS)
    output[:, 0] += 1
    target = torch.zeros(N, 30)
    target[:, 0] = 1.0
    parts = {"loss": neumf.cross_entropy, "metrics": ranking.hits_and_gains}
    expected = {
        "hr@10": top_k_accuracy_score(np.zeros(N), output, k=10, labels=range(30)),
        "ndcg@10": ndcg_score(target, output, k=10),
        "loss": log_loss(target.flatten(), output.double().sigmoid().flatten()),
    }
    return Row(output, target, parts, expected)


def units() -> Row:
    """A text, whose last window has places behind its end."""
    output, target = torch.randn(N, 7, 5, generator=DRAWS), torch.randint(5, (N, 7), generator=DRAWS)
    target[-1, 3:] = IGNORED
    parts = {"loss": language.next_unit, "metrics": lambda *_: {}, "summary": language.perplexity}
    there = target != IGNORED
    surprise = log_loss(target[there], output[there].double().softmax(1), labels=range(5))
    return Row(output, target, parts, {"perplexity": math.exp(surprise), "bits": surprise / math.log(2)})


ROWS: dict[str, Callable[[], Row]] = {
    "accuracy": classes,
    "accuracy and AUC of texts": two_classes,
    "log loss, accuracy and AUC of clicks": clicks,
    "RMSE and MAE": ratings,
    "HR@10 and NDCG@10": candidates,
    "perplexity": units,
}


def measured(comm, name: str) -> tuple[dict[str, float], Mapping[str, float]]:
    """What the evaluation finds, and what it must."""
    DRAWS.manual_seed(1)
    row = ROWS[name]()
    told = Told(row.output, row.target)
    workload = Workload(module=nn.Identity(), training=told, splits={}, **row.parts)
    return evaluate(workload, told, comm, batch_size=8, step=0), row.expected


@pytest.mark.parametrize("name", ROWS)
def test_a_metric_is_scikit_learn_s_on_any_number_of_workers(pool, name: str) -> None:
    ((alone, expected),) = pool.run("local", 1, measured, name)
    assert {key: alone[key] for key in expected} == pytest.approx(dict(expected), rel=1e-6)
    for size in (2, 3):
        assert all(found == alone for found, _ in pool.run("mpi", size, measured, name))
