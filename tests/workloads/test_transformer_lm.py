"""The language model: its twin in plain torch, its sums, its weights, and what is refused."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from distbp.data.windows import IGNORED
from distbp.errors import RequestError
from distbp.maps.cross_entropy import LinearCrossEntropy
from distbp.program.program import build
from distbp.workloads.base import Workload
from distbp.workloads.language import next_unit, perplexity, transformer_lm
from tests.engines.agreement import beyond, excesses
from tests.workloads.small.nlp import text
from tests.workloads.wide import ENGINES, batches, gradients, trained, widened

RECIPE: dict[str, Any] = {
    "unit": "characters", "least": 1, "layers": 2, "width": 16, "heads": 2, "context": 8, "dropout": 0.0, "tied": True,
    "sample": 20, "cache": "/nonexistent", "seed": 0,
}  # fmt: skip


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(text(tmp_path_factory.mktemp("text")))


def workload(path: str, **changes: Any) -> Workload:
    return transformer_lm(**{**RECIPE, "path": path, **changes})


class Twin:
    """The same model in plain formulas: attention as a masked softmax, norms by their moments."""

    def __init__(self, module: nn.Module) -> None:
        self.w = {name: p.detach().clone().requires_grad_() for name, p in module.named_parameters()}

    def norm(self, x: Tensor, name: str) -> Tensor:
        centred = x - x.mean(-1, keepdim=True)
        variance = centred.square().mean(-1, keepdim=True)
        return centred / (variance + 1e-5).sqrt() * self.w[f"{name}.weight"] + self.w[f"{name}.bias"]

    def linear(self, x: Tensor, name: str) -> Tensor:
        return x @ self.w[f"{name}.weight"].T + self.w[f"{name}.bias"]

    def attention(self, x: Tensor, name: str) -> Tensor:
        q, k, v = self.linear(x, f"{name}.qkv").chunk(3, dim=2)
        future = torch.ones(x.shape[1], x.shape[1]).triu(1).bool()
        heads = []
        for part in zip(*(y.chunk(RECIPE["heads"], dim=2) for y in (q, k, v)), strict=True):
            scores = part[0] @ part[1].transpose(1, 2) / math.sqrt(part[0].shape[2])
            heads.append(scores.masked_fill(future, -math.inf).softmax(-1) @ part[2])
        return self.linear(torch.cat(heads, dim=2), f"{name}.project")

    def loss(self, tokens: Tensor, target: Tensor) -> Tensor:
        x = self.w["token.weight"][tokens] + self.w["position.weight"][: tokens.shape[1]]
        for layer in range(RECIPE["layers"]):
            block = f"blocks.{layer}"
            x = x + self.attention(self.norm(x, f"{block}.norm1"), f"{block}.attention")
            hidden = self.linear(self.norm(x, f"{block}.norm2"), f"{block}.perceptron.0")
            bent = 0.5 * hidden * (1 + torch.tanh(math.sqrt(2 / math.pi) * (hidden + 0.044715 * hidden**3)))
            x = x + self.linear(bent, f"{block}.perceptron.2")
        logs = (self.norm(x, "norm") @ self.w["token.weight"].T).log_softmax(-1)
        return -logs.gather(2, target[:, :, None]).mean()


@pytest.mark.parametrize("engine", ENGINES)
def test_fifty_steps_are_those_of_a_twin_in_plain_torch(path: str, tmp_path: Path, engine: str) -> None:
    job = widened(workload(path))
    twin = Twin(job.module)
    optimizer = torch.optim.SGD(twin.w.values(), lr=0.5, momentum=0.9)
    for part in batches(job.training, 20):
        optimizer.zero_grad()
        twin.loss(*part.inputs, part.target).backward()
        optimizer.step()
    ours = trained(job, engine, tmp_path, batch_size=20, optimizer="sgd", lr=0.5, momentum=0.9)
    for name, weight in twin.w.items():
        torch.testing.assert_close(ours[name], weight.detach(), rtol=1e-8, atol=1e-8)


def test_gradients_in_float32_hold_to_the_contract(path: str) -> None:
    job = workload(path, tied=False, dropout=0.2)
    (part, *_) = batches(job.training, 40)
    ours, theirs = (gradients(job, engine, part) for engine in ENGINES)
    exact = gradients(widened(job), "autograd", part)
    assert beyond(1.0, excesses(ours, theirs, exact)) == {}


def test_loss_and_count_leave_out_what_is_behind_the_end() -> None:
    output, target = torch.randn(2, 3, 5), torch.tensor([[1, 2, 0], [4, IGNORED, IGNORED]])
    total, count = next_unit(output, target)
    assert int(count) == 4
    chosen = output.log_softmax(-1)[[0, 0, 0, 1], [0, 1, 2, 0], [1, 2, 0, 4]]
    torch.testing.assert_close(total, -chosen.sum())
    assert perplexity({"loss": 800.0}, torch.empty(0, 0))["perplexity"] == math.inf
    assert perplexity({"loss": math.log(8)}, torch.empty(0, 0)) == pytest.approx(
        {"loss": math.log(8), "perplexity": 8, "bits": 3}
    )


def test_the_initial_weights_depend_on_the_seed_alone(path: str) -> None:
    torch.manual_seed(1)
    state = torch.get_rng_state()
    first = workload(path).module.state_dict()
    assert torch.equal(torch.get_rng_state(), state)
    again, other = workload(path).module.state_dict(), workload(path, seed=1).module.state_dict()
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["token.weight"], other["token.weight"])
    assert float(first["blocks.0.attention.qkv.weight"].std()) == pytest.approx(0.02, rel=0.1)
    assert float(first["blocks.0.attention.project.weight"].std()) == pytest.approx(0.01, rel=0.15)


def test_a_large_vocabulary_never_has_its_scores_at_once(path: str) -> None:

    job = workload(path)
    module = nn.Sequential(nn.Embedding(6000, 8), nn.Linear(8, 6000, bias=False))
    tokens = torch.arange(128).view(2, 64)
    program = build(module, job.loss, (tokens,), tokens, outputs=False)
    assert LinearCrossEntropy in program.plan.rules.values()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"heads": 3}, "workload.heads=3: a divisor of workload.width=16"),
        ({"context": 5000}, "for the split"),
        ({"path": "/nonexistent/text"}, "data.path"),
    ],
    ids=str,
)
def test_what_does_not_fit_is_refused_in_one_line(path: str, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(RequestError, match=said) as refused:
        workload(**{"path": path, **changes})
    assert "\n" not in str(refused.value)


def test_penn_treebank_s_three_files_are_the_splits(tmp_path: Path) -> None:
    for name, line in (("train", "a b <unk> c\n" * 9), ("valid", "a c\n" * 5), ("test", "b d\n" * 6)):
        (tmp_path / f"ptb.{name}.txt").write_text(line)
    job = workload(str(tmp_path), unit="words", context=4)
    assert job.module.head.out_features == 5  # <unk>, <eos>, a, b, c
    (units,), target = job.splits["test"].batch(np.arange(1), np.empty((1, 0)))
    assert 0 in units
    assert target.shape == units.shape == (1, 4)
    assert F.one_hot(units, 5).sum() == 4
