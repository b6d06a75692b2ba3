"""The recurrent language model: its twin in plain torch, the state that it carries, and what is refused."""

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from rich.console import Console
from torch import Tensor, nn

from distbp import config, job
from distbp.comm import threads
from distbp.comm.local import LocalCommunicator
from distbp.data.part import Part, pieces
from distbp.data.streams import Streams
from distbp.data.vocabulary import Vocabulary
from distbp.data.windows import IGNORED
from distbp.engines.base import Destination
from distbp.errors import RequestError
from distbp.training.carried_state import CarriedState
from distbp.training.data_parallel import DataParallel
from distbp.training.evaluation import evaluate
from distbp.workloads.base import Workload
from distbp.workloads.language import lstm_lm, next_unit
from tests.engines.agreement import beyond, excesses
from tests.workloads.small.nlp import text
from tests.workloads.wide import ENGINES, Wide, batches, gradients, trained, widened

LAYERS = 2
RECIPE: dict[str, Any] = {
    "unit": "words", "least": 1, "layers": LAYERS, "width": 6, "streams": 10, "length": 7, "dropout": 0.0,
    "tied": False, "spread": 0.3, "sample": 20, "cache": "/nonexistent", "seed": 0,
}  # fmt: skip
SILENT = Console(quiet=True)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(text(tmp_path_factory.mktemp("text")))


def workload(path: str, **changes: Any) -> Workload:
    return lstm_lm(**{**RECIPE, "path": path, **changes})


class Twin:
    """The same model in plain formulas: equations 1 to 4 of Zaremba et al. 2014, step by step."""

    def __init__(self, module: nn.Module) -> None:
        self.w = {name: p.detach().clone().requires_grad_() for name, p in module.named_parameters()}
        self.state: list[tuple[Tensor, Tensor]] = []

    def layer(self, k: int, inputs: list[Tensor]) -> Iterator[Tensor]:
        """h of layer k after each unit; where it ends is kept for the next segment, without its past."""
        W, U, b, d = (self.w[f"lstm.{name}_l{k}"] for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"))
        h, c = self.state[k]
        for x in inputs:
            i, f, g, o = (x @ W.T + h @ U.T + b + d).chunk(4, dim=1)
            c = f.sigmoid() * c + i.sigmoid() * g.tanh()
            h = o.sigmoid() * c.tanh()
            yield h
        self.state[k] = h.detach(), c.detach()

    def loss(self, part: Part) -> Tensor:
        """The mean over the places that have a target."""
        vectors = self.w["token.weight"][part.inputs[0]]
        if part.begins:
            zeros = vectors.new_zeros(len(part), vectors.shape[2])
            self.state = [(zeros, zeros)] * LAYERS
        h = list(vectors.unbind(dim=1))
        for k in range(LAYERS):
            h = list(self.layer(k, h))
        last = self.w["head.weight"] if "head.weight" in self.w else self.w["token.weight"]
        logs = (torch.stack(h, dim=1) @ last.T + self.w["head.bias"]).log_softmax(-1)
        there = part.target != IGNORED
        return -logs[there].gather(1, part.target[there][:, None]).mean()


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("engine", ENGINES)
def test_fifty_steps_are_those_of_a_twin_in_plain_torch(path: str, tmp_path: Path, engine: str, tied: bool) -> None:
    """Two epochs and more: 24 segments each, of which the last one is ragged."""
    job = widened(workload(path, tied=tied))
    twin = Twin(job.module)
    optimizer = torch.optim.SGD(twin.w.values(), lr=0.5, momentum=0.9)
    for part in batches(job.training, 10):
        optimizer.zero_grad()
        twin.loss(part).backward()
        optimizer.step()
    ours = trained(job, engine, tmp_path, batch_size=10, optimizer="sgd", lr=0.5, momentum=0.9)
    for name, weight in twin.w.items():
        torch.testing.assert_close(ours[name], weight.detach(), rtol=1e-8, atol=1e-8)


def test_the_engines_drop_alike(path: str, tmp_path: Path) -> None:
    told: dict[str, Any] = {"batch_size": 10, "optimizer": "sgd", "lr": 0.5}
    ours, theirs = (
        trained(widened(workload(path, dropout=0.4)), engine, tmp_path / engine, **told) for engine in ENGINES
    )
    for name, weight in theirs.items():
        torch.testing.assert_close(ours[name], weight, rtol=1e-8, atol=1e-8)


def test_gradients_in_float32_hold_to_the_contract(path: str) -> None:
    job = workload(path, width=16)
    (part, *_) = batches(job.training, 10)
    ours, theirs = (gradients(job, engine, part) for engine in ENGINES)
    exact = gradients(widened(job), "autograd", part)
    assert beyond(1.0, excesses(ours, theirs, exact)) == {}


@pytest.mark.parametrize("engine", ENGINES)
def test_an_engine_returns_the_state_in_the_look_that_it_was_given(path: str, engine: str) -> None:
    job = workload(path)
    (part, *_) = batches(job.training, 10)
    runner = ENGINES[engine](job.module, job.loss)
    runner.prepare(part, job.begin(len(part)))
    places = {name: torch.empty_like(p) for name, p in job.module.named_parameters()}
    given = tuple(torch.randn_like(tensor) for tensor in job.begin(10))
    outcome = runner.gradients(part, Destination(places), given)
    with torch.no_grad():
        _, expected = job.module(*part.inputs, *given)
    for found, like in zip(outcome.state, expected, strict=True):
        assert not found.requires_grad
        torch.testing.assert_close(found, like)
    empty = Part(0, (part.inputs[0][:0],), part.target[:0], draws=0)
    assert [tensor.shape for tensor in runner.gradients(empty, Destination(places), job.begin(0)).state] == [
        (0, LAYERS, 6)
    ] * 2


def test_micro_batches_carry_what_the_whole_part_carries(path: str) -> None:
    def losses(micro_batches: int) -> list[float]:
        job = widened(workload(path))
        parallel = DataParallel(
            job.module, job.loss, begin=job.begin, micro_batches=micro_batches, comm=LocalCommunicator()
        )
        parts = list(batches(job.training, 10))[:4]
        parallel.prepare(parts[0])
        return [parallel.gradients([part], (True,), step=step).loss for step, part in enumerate(parts)]

    assert losses(3) == pytest.approx(losses(1), rel=1e-12)
    assert len(set(losses(1))) == 4


def test_a_step_that_is_computed_once_more_goes_on_from_the_same_state(path: str) -> None:
    job = workload(path)
    parallel = DataParallel(job.module, job.loss, begin=job.begin, comm=LocalCommunicator())
    parts = list(batches(job.training, 10))[:2]
    parallel.prepare(parts[0])
    for step, part in enumerate(parts):
        parallel.gradients([part], (True,), step=step)
        before = parallel.carried.gathered(step)
        parallel.blame([part], (True,), step=step)
        after = parallel.carried.gathered(step)
        assert all(torch.equal(before[name], after[name]) for name in ("0", "1"))


def test_a_step_that_is_left_out_leaves_the_state(path: str) -> None:
    job = workload(path)
    carried = CarriedState(job.begin, LocalCommunicator())
    first, later = list(batches(job.training, 10))[:2]
    for part, left in ((first, 1.0), (later, math.nan), (later, 2.0)):
        carried.turn()
        (given,) = carried.of(part, [part])
        carried.note(part, 0, tuple(torch.full_like(tensor, left) for tensor in given))
        if math.isnan(left):
            carried.stay()
    assert all(bool((tensor == 1).all()) for tensor in given)


def test_what_a_left_out_step_leaves_is_of_its_own_parts(path: str) -> None:
    """A batch of fewer samples than the one before it, whose first segment is left out: a checkpoint has its states."""
    job = workload(path)
    carried = CarriedState(job.begin, LocalCommunicator())
    part = next(iter(batches(job.training, 8)))
    whole = [replace(piece, index=number) for number, piece in enumerate(pieces(part, 4))]
    for parts in whole, whole[:1]:
        carried.turn()
        for own in parts:
            (given,) = carried.of(own, [own])
            carried.note(own, 0, given)
    carried.stay()
    assert len(carried.gathered(2)["0"]) == len(whole[0])


@pytest.mark.parametrize(
    "saved",
    [
        {"0": torch.zeros(10, LAYERS, 6)},
        {"0": torch.zeros(10, 1, 6), "1": torch.zeros(10, LAYERS, 6)},
        {"x": torch.ones(3)},
    ],
    ids=["one is missing", "another shape", "another name"],
)
def test_a_saved_state_of_another_look_is_refused(path: str, saved: dict[str, Tensor]) -> None:
    carried = CarriedState(workload(path).begin, LocalCommunicator())
    with pytest.raises(RequestError, match="the state carried on"):
        carried.restore(saved, lambda n: {0: range(n)})


def test_an_evaluation_in_segments_is_one_long_reading(path: str) -> None:
    job = workload(path)
    job.module.double()
    found = evaluate(job, Wide(job.splits["test"]), LocalCommunicator(), batch_size=4, step=0)
    split = job.splits["test"]
    assert isinstance(split, Streams)
    whole = Streams(split.codes, split.streams, 1000)
    inputs, target = whole.batch(np.arange(len(whole)), np.empty((len(whole), 0)))
    with torch.no_grad():
        output, _ = job.module(*inputs, *job.begin(len(whole)))
        total, count = next_unit(output, target)
    assert int(count) == len(split.codes) - 1
    assert found["perplexity"] == pytest.approx(math.exp(float(total) / int(count)), rel=1e-10)


def train(comm: Any, folder: str, path: str, *words: str) -> Any:
    torch.set_num_threads(1)
    request = config.request(
        "workload=nlp/lstm_lm", f"data.path={path}", f"run_dir={folder}", "shards=3", "batch_size=4",
        "workload.width=6", "workload.streams=10", "workload.length=7", "workload.dropout=0.1", "epochs=1", *words,
    )  # fmt: skip
    result = job.train(request, comm, SILENT)
    return [result[key] for key in ("weights_sha256", "metrics", "sample", "samples")] if result else None


@pytest.mark.parametrize("engine", ENGINES)
def test_going_on_within_an_epoch_on_other_workers_gives_the_same_bits(tmp_path: Path, path: str, engine: str) -> None:
    """After 30 of 72 steps, within the second batch of streams; and in the last one, which leaves a part empty."""
    how = (f"engine={engine}", "evaluate.every=never")
    whole, cut = str(tmp_path / "whole"), str(tmp_path / "cut")
    (expected,) = threads.run(1, train, whole, path, *how)
    (shorter, *_) = threads.run(2, train, cut, path, *how, "steps=30")
    assert shorter[0] != expected[0]
    threads.run(3, train, cut, path, *how, "steps=60", "resume=latest")
    (resumed, *_) = threads.run(2, train, cut, path, *how, "resume=latest")
    assert resumed == expected
    assert expected[3] == 10 * 24  # segments of streams
    assert len(expected[2].split()) > 0


def test_the_state_is_no_ornament(tmp_path: Path, path: str) -> None:
    """A run that goes on without it does not come to the same weights."""
    how = ("evaluate.every=never",)
    (expected,) = threads.run(1, train, str(tmp_path / "whole"), path, *how)
    cut = tmp_path / "cut"
    threads.run(1, train, str(cut), path, *how, "steps=30")
    (other,) = threads.run(
        1, train, str(cut), path, *how, "resume=latest", "workload.spread=0.2", "resume_allow=[workload.spread]"
    )
    assert other[0] != expected[0]


@pytest.mark.parametrize("unit", ["characters", "bytes", "words", "tokens"])
def test_a_sample_is_a_text_of_its_units(path: str, unit: str) -> None:
    with torch.no_grad():
        written = workload(path, unit=unit, least=1).sample()
    assert len(Vocabulary(written, unit).encode(written)) >= 20  # type: ignore[arg-type]


def test_a_sample_depends_on_the_seed_alone(path: str) -> None:
    state = torch.get_rng_state()
    job = workload(path)
    with torch.no_grad():
        written = [job.sample(), job.sample(), workload(path).sample()]
    assert torch.equal(torch.get_rng_state(), state)
    assert len(set(written)) == 1
    assert workload(path, sample=0).sample() == ""


class Forgetful(nn.Module):
    """Returns no state."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 2)

    def forward(self, x: Tensor, h: Tensor) -> Tensor:
        return self.layer(x + h)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_module_that_returns_no_state_is_told(engine: str) -> None:
    runner = ENGINES[engine](Forgetful(), nn.MSELoss())
    part = Part(0, (torch.randn(3, 2),), torch.randn(3, 2), draws=0)
    places = {name: torch.empty_like(p) for name, p in runner.module.named_parameters()}
    with pytest.raises(RequestError, match=r"returns \(output, state\)"):
        runner.gradients(part, Destination(places), (torch.zeros(3, 2),))


@pytest.mark.parametrize(
    ("content", "said"),
    [("a b c", "more than workload.streams=10"), ("", "empty"), (b"\xff\xfe\x00", "UTF-8"), (None, "no such file")],
    ids=["short", "empty", "no text", "no file"],
)
def test_what_does_not_fit_is_refused_in_one_line(tmp_path: Path, content: Any, said: str) -> None:
    file = tmp_path / "text.txt"
    if content is not None:
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(RequestError, match=said) as refused:
        workload(str(file))
    assert "\n" not in str(refused.value)
    assert "data.path" in str(refused.value)
