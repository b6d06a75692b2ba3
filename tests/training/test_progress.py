"""What evaluations decide: torch's own falls of the rate, an end in order, and the same of both after a break."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hydra.types import RunMode
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console
from torch import nn
from torch.optim.lr_scheduler import ReduceLROnPlateau

import tests.faults.tiny
from distbp import config, job
from distbp.comm import threads
from distbp.comm.local import LocalCommunicator
from distbp.errors import RequestError
from distbp.schema import from_config
from distbp.training.best import Best
from distbp.training.patience import Patience
from distbp.training.plateau import Plateau
from distbp.training.progress import Progress
from distbp.training.schedules import constant
from tests.faults.tiny import Tiny

SMALL = ("workload=tiny", "workload.pause=0.0", "batch_size=8", "shards=2", "log.every=1")
HOW = (*SMALL, "engine=autograd", "optimizer.lr=0.003")
CONF = str(Path(__file__).parents[1] / "faults" / "conf")
PLATEAU = ("schedule=plateau", "schedule.metric=min:loss", "schedule.patience=0", "schedule.threshold=0.2",
           "schedule.factor=0.5", "schedule.cooldown=1", "schedule.warmup_epochs=1")  # fmt: skip


@settings(max_examples=50)
@given(
    values=st.lists(st.one_of(st.floats(-2, 2), st.sampled_from([0.5, 0.50004, float("nan")])), max_size=30),
    direction=st.sampled_from(["min", "max"]),
    factor=st.sampled_from([0.1, 0.5]),
    patience=st.integers(0, 4),
    threshold=st.sampled_from([0.0, 1e-4, 0.1]),
    cooldown=st.integers(0, 3),
    final=st.sampled_from([0.0, 0.3]),
)
def test_the_rate_falls_as_torchs(*, values, direction, factor, patience, threshold, cooldown, final):
    """After each evaluation, through a state of JSON."""
    how = {"factor": factor, "patience": patience, "threshold": threshold, "cooldown": cooldown}
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0)
    theirs = ReduceLROnPlateau(optimizer, mode=direction, min_lr=final, eps=0.0, **how)
    ours = Plateau(metric=f"{direction}:loss", final=final, warmup_epochs=2.0, **how)
    for value in values:
        ours.take({"loss": value, "accuracy": 1.0})
        theirs.step(value)
        state = json.loads(json.dumps(ours.state()))
        ours = Plateau(metric=f"{direction}:loss", final=final, warmup_epochs=2.0, **how)
        ours.restore(state)
        rate = optimizer.param_groups[0]["lr"]
        assert ours(2.0, 9.0) == pytest.approx(rate, rel=1e-12)
        assert ours(1.0, 9.0) == pytest.approx(rate / 2, rel=1e-12)


def test_patience_ends_after_so_many_evaluations_without_a_better_value():
    patience = Patience(2, "max:accuracy")
    told = []
    for value in (0.5, 0.6, 0.6, float("nan"), 0.7, 0.1, 0.2):
        patience.take({"accuracy": value})
        told.append(patience.over)
    end = "no better accuracy for 2 evaluations"
    assert told == ["", "", "", end, "", "", end]


def test_an_evaluation_counts_once():
    progress = Progress(Best(None), Patience(2, "min:loss"), constant())
    for step in (1, 2, 2, 2):
        progress.take({"loss": 1.0}, step=step)
    assert not progress.patience.over
    progress.take({"loss": 1.0}, step=3)
    assert progress.patience.over


@pytest.mark.parametrize("state", [{"evaluated": "x"}, {"schedule": 3}, {"patience": {"of": "min:loss"}}])
def test_a_state_that_is_none_is_refused(state):
    with pytest.raises(RequestError, match="resume=progress: what it says of evaluations cannot be read"):
        Progress(Best(None), Patience(2, "min:loss"), Plateau()).restore(state, same_split=True)


def test_the_level_stays_where_the_figures_are_of_another_split_or_metric():
    fallen = Progress(Best(None), Patience(9, "min:loss"), Plateau(patience=0))
    for step in range(4):
        fallen.take({"loss": 1.0, "accuracy": 0.5}, step=step)
    assert fallen.schedule.level == pytest.approx(1e-3)
    for metric, same_split in (("min:loss", False), ("max:accuracy", True)):
        again = Progress(Best(None), Patience(9, "min:loss"), Plateau(patience=0, metric=metric))
        again.restore(json.loads(json.dumps(fallen.state())), same_split=same_split)
        assert again.schedule.level == fallen.schedule.level
        again.take({"loss": 2.0, "accuracy": 0.1}, step=9)
        assert again.schedule.level == fallen.schedule.level, "it is the first evaluation of its kind"


def train(comm, folder, *overrides, how=HOW):
    words = [*how, f"run_dir={folder}", *overrides]
    loader = config.Loader(config.search_path(CONF))
    request = from_config(config.plain(loader.load_configuration(config.CONFIG, words, RunMode.RUN)), words)
    return job.train(request, comm, Console(quiet=True))


def lines(folder):
    told = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in line.items() if k not in ("samples_per_second", "step_ms")} for line in told]


@pytest.mark.parametrize("every", [3, 8], ids=["within an epoch", "at its end"])
def test_a_run_with_a_plateau_goes_on_to_the_same_bits(tmp_path, every):
    """Whether the checkpoint was saved before the evaluation of its step, after it, or within an epoch."""
    how = (*PLATEAU, "epochs=5", "checkpoint.best=min:loss")
    (whole,) = threads.run(1, train, tmp_path / "whole", *how)
    threads.run(2, train, tmp_path / "cut", *how, f"checkpoint.every={every}", "steps=20")
    resumed, _ = threads.run(2, train, tmp_path / "cut", *how, "resume=latest")
    assert resumed["weights_sha256"] == whole["weights_sha256"]
    assert lines(tmp_path / "cut")[-12:] == lines(tmp_path / "whole")[-12:]
    rates = {round(line["lr"] / 0.003, 6) for line in lines(tmp_path / "whole") if "lr" in line}
    assert {1.0, 0.5} <= rates


def test_a_plateau_needs_the_evaluations_it_had(tmp_path):
    threads.run(1, train, tmp_path, *PLATEAU, "epochs=1")
    with pytest.raises(RequestError, match=r"evaluate\.every=2 \(it was 1\)"):
        threads.run(1, train, tmp_path, *PLATEAU, "epochs=2", "resume=latest", "evaluate.every=2")


@pytest.mark.parametrize("size", [1, 2])
def test_a_training_without_progress_ends_in_order(tmp_path, size):
    """The loss falls, and should rise: no evaluation after the first is better. What goes on has waited already."""
    how = ("stop_early.metric=max:loss", "evaluate.every=1")
    (ended, *_) = threads.run(size, train, tmp_path, *how, "stop_early.patience=2", "epochs=9")
    assert ended["ended"] == "no better loss for 2 evaluations"
    assert (ended["epochs"], ended["steps"]) == (3, 24)
    assert lines(tmp_path)[-1]["evaluation"] == {"loss": ended["split_loss"], **ended["metrics"]}
    again, *_ = threads.run(2, train, tmp_path, *how, "stop_early.patience=2", "epochs=9", "resume=latest")
    assert (again["steps"], again["weights_sha256"]) == (24, ended["weights_sha256"])
    longer, *_ = threads.run(2, train, tmp_path, *how, "stop_early.patience=3", "epochs=9", "resume=latest")
    assert (longer["ended"], longer["epochs"]) == ("no better loss for 3 evaluations", 4)
    last, *_ = threads.run(1, train, tmp_path, *how, "stop_early.patience=null", "epochs=5", "resume=latest")
    assert (last["ended"], last["epochs"]) == ("all steps are done", 5)


WRONG = {
    "stop_early.patience=2 evaluate.every=never": "evaluate.every=never: a number is needed with stop_early.patience",
    "schedule=plateau evaluate.every=never": "evaluate.every=never: a number is needed with schedule=plateau",
    "schedule=plateau schedule.metric=loss": "schedule.metric=loss: a metric, as max:accuracy",
    "stop_early.metric=best:loss": "stop_early.metric=best:loss: a metric, as max:accuracy",
    "stop_early.patience=0": "stop_early.patience=0: ",
    "schedule=plateau schedule.factor=1": "schedule.factor=1: ",
    "schedule=plateau schedule.patience=-1": "schedule.patience=-1: ",
}


@pytest.mark.parametrize(("words", "message"), WRONG.items())
def test_wrong_requests(words, message):
    with pytest.raises(RequestError, match=message.replace(".", r"\.")):
        config.request(*words.split())


@pytest.mark.parametrize("name", ["hr@10", "top-1", "accuracy"])
def test_a_metric_has_whatever_name_its_workload_gives_it(name):
    words = [f"checkpoint.best=max:{name}", f"stop_early.metric=min:{name}", "evaluate.every=1"]
    request = config.request(*words, "schedule=plateau", f"schedule.metric=max:{name}")
    assert (request.checkpoint.best, request.stop_early.metric) == (f"max:{name}", f"min:{name}")


def test_a_metric_that_is_not_there_is_refused_by_its_key(tmp_path):
    """Before the training: nothing of the run is left."""
    with pytest.raises(RequestError, match=r"stop_early\.metric=max:acuracy: max: and one of .*; nearest: accuracy"):
        threads.run(1, train, tmp_path / "run", "epochs=2", "stop_early.patience=1", "stop_early.metric=max:acuracy")
    assert not (tmp_path / "run").exists()


class Empty(Tiny):
    def __len__(self):
        return 0


CHANGES = {  # of the tiny workload, and what is said
    "training": (lambda _: Empty(0.0), "workload=tiny: data to train on are needed"),
    "splits": (lambda _: {"test": Empty(0.0)}, "evaluate.split=test: a split with samples is needed"),
    "metrics": (lambda _: lambda *_: {"count": torch.tensor(1.0)}, "metrics=count: another name is needed"),
}


@pytest.fixture
def changed(monkeypatch):
    """Have ``tiny`` make another workload: one with ``change(its own)`` in the place of ``part``."""

    def become(part, change):
        make = tests.faults.tiny.tiny

        def made(*, pause: float, path: str | None, cache: str, seed: int):
            workload = make(pause=pause, path=path, cache=cache, seed=seed)
            return replace(workload, **{part: change(getattr(workload, part))})

        monkeypatch.setattr("tests.faults.tiny.tiny", made)

    return become


@pytest.mark.parametrize("part", CHANGES)
def test_what_cannot_be_trained_or_measured_is_refused(tmp_path, changed, part):
    change, message = CHANGES[part]
    changed(part, change)
    with pytest.raises(RequestError, match=message.replace(".", r"\.")):
        train(LocalCommunicator(), tmp_path, "checkpoint.best=min:loss")


def test_a_loss_that_is_a_mean_is_measured_as_it_is_trained(tmp_path, changed):
    expected = train(LocalCommunicator(), tmp_path / "sum", "steps=5")
    changed("loss", lambda _: nn.CrossEntropyLoss())
    found = train(LocalCommunicator(), tmp_path / "mean", "steps=5")
    assert found["split_loss"] == pytest.approx(expected["split_loss"], rel=1e-6)


def test_the_best_of_another_split_is_none_of_this_one(tmp_path, changed):
    changed("splits", lambda splits: {**splits, "other": splits["test"]})
    how = ("evaluate.every=1", "checkpoint.best=max:loss", "epochs=4")
    first = train(LocalCommunicator(), tmp_path, *how, "steps=16", "evaluate.split=other")
    assert first["best"]["step"] == 8
    second = train(LocalCommunicator(), tmp_path, *how, "evaluate.split=test", "resume=latest")
    assert second["best"]["step"] > 8


def test_an_evaluation_that_is_no_number_is_told_as_none(tmp_path):
    """The last update has spoilt the weights; what the run has done is told all the same."""
    train(LocalCommunicator(), tmp_path, "optimizer=sgd", "optimizer.lr=1e30", "steps=1", how=SMALL)
    result = json.loads((tmp_path / "result.json").read_text())
    assert (result["steps"], result["split_loss"]) == (1, None)
    assert lines(tmp_path)[-1]["evaluation"]["loss"] is None


class Averaged(nn.Sequential):
    """Keeps a running mean of its inputs that its state has not."""

    def __init__(self, *layers):
        super().__init__(*layers)
        self.register_buffer("seen", torch.zeros(6), persistent=False)

    def forward(self, x):
        if self.training:
            self.seen.lerp_(x.mean(dim=0), 0.5)
        return super().forward(x - self.seen)


@pytest.mark.parametrize("engine", ["manual", "autograd"])
def test_a_running_mean_that_no_checkpoint_would_have_is_refused(tmp_path, monkeypatch, engine):
    monkeypatch.setattr("tests.faults.tiny.perceptron", lambda *_, **__: Averaged(nn.Linear(6, 3)))
    with pytest.raises(RequestError, match=r"buffer=seen: .*persistent=True is needed"):
        train(LocalCommunicator(), tmp_path, f"engine={engine}", how=SMALL)
