"""Checkpoints: what was saved is what is loaded, damage is named, and going on gives the undisturbed run's bits."""

import io
import json
import math
import re

import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file
from torch import nn

from distbp import config, job
from distbp.comm import threads
from distbp.comm.local import LocalCommunicator
from distbp.errors import RequestError
from distbp.metrics_file import MetricsFile
from distbp.training.checkpoint import Checkpoint, load, save
from distbp.training.layers import Norms
from distbp.training.shelf import keep_newest, newest_good, saved
from distbp.workloads.perceptron import perceptron

CONFIG = {"overrides": ["seed=1"], "shards": 1, "threads": 1, "optimizer": {}}
SILENT = Console(quiet=True)


def example(step=3):
    return Checkpoint(
        step=step,
        epoch=1,
        batch=1,
        config=CONFIG,
        model={"w": torch.arange(6.0).view(2, 3), "n": torch.tensor(5)},
        optimizer={"exp_avg/w": torch.ones(2, 3), "step/": torch.tensor(3.0)},
    )


def test_a_checkpoint_comes_back_whole(tmp_path):
    path = save(example(), tmp_path)
    loaded = load(path)
    assert (loaded.step, loaded.epoch, loaded.batch, loaded.config) == (3, 1, 1, CONFIG)
    for part in ("model", "optimizer"):
        before, after = getattr(example(), part), getattr(loaded, part)
        assert before.keys() == after.keys()
        assert all(torch.equal(before[name], after[name]) for name in before)


def test_the_newest_are_kept_and_found(tmp_path):
    for step in (1, 20, 300):
        save(example(step), tmp_path / "checkpoints")
        keep_newest(2, tmp_path / "checkpoints")
    assert [path.name for path in saved(tmp_path / "checkpoints")] == ["step-00000020", "step-00000300"]
    newest = tmp_path / "checkpoints" / "step-00000300"
    for resume, run_dir in ((str(tmp_path), None), ("latest", tmp_path), (str(newest), None)):
        assert newest_good(resume, run_dir).path == newest
    assert newest_good("latest", tmp_path / "elsewhere") is None


def flip(path):
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


DAMAGE = {
    "a flipped bit": ("model.safetensors", flip, "tensor . is damaged"),
    "a truncated file": ("optimizer.safetensors", lambda path: path.write_bytes(path.read_bytes()[:-4]), "load"),
    "a missing file": ("model.safetensors", lambda path: path.unlink(), "load"),
    "no manifest": ("checkpoint.json", lambda path: path.unlink(), "no checkpoint"),
    "a manifest that is not JSON": ("checkpoint.json", lambda path: path.write_text("{"), "not JSON"),
    "a manifest of another shape": (
        "checkpoint.json",
        lambda path: path.write_text(path.read_text().replace('"step": 3', '"step": "3"')),
        "not a checkpoint of format",
    ),
    "a step below 0": (
        "checkpoint.json",
        lambda path: path.write_text(path.read_text().replace('"step": 3', '"step": -3')),
        "not a checkpoint of format",
    ),
    "another format": ("checkpoint.json", lambda path: path.write_text('{"format": 9}'), "not a checkpoint of format"),
}


@pytest.mark.parametrize(("name", "damage", "message"), DAMAGE.values(), ids=DAMAGE)
def test_damage_is_refused_by_name(tmp_path, name, damage, message):
    path = save(example(), tmp_path)
    damage(path / name)
    with pytest.raises(RequestError, match=message):
        newest_good(str(path), None)


def train(comm, folder, *overrides):
    torch.set_num_threads(1)
    size = [] if any(word.startswith("batch_size=") for word in overrides) else ["batch_size=128"]
    request = config.request("shards=3", *size, "evaluate.every=never", "log.every=1", f"run_dir={folder}", *overrides)
    return job.train(request, comm, SILENT).get("weights_sha256")


def lines(folder):
    """What the log says, without what depends on the clock."""
    told = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in line.items() if k not in ("samples_per_second", "step_ms")} for line in told]


@pytest.mark.parametrize("engine", ["manual", "autograd"])
@pytest.mark.parametrize("optimizer", ["sgd", "adamw", "adagrad"])
def test_going_on_gives_the_bits_of_the_undisturbed_run(tmp_path, engine, optimizer):
    """Mid-epoch, on another number of workers: weights and log."""
    how = [f"engine={engine}", f"optimizer={optimizer}", "optimizer.lr=0.01", "epochs=1"]
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    (expected,) = threads.run(1, train, str(whole), *how)
    (shorter,) = threads.run(1, train, str(cut), *how, "steps=7", "checkpoint.every=5")
    assert shorter != expected
    resumed = threads.run(2, train, str(cut), *how, "resume=latest")
    assert resumed[0] == expected
    assert [line for line in lines(cut) if "loss" in line] == [line for line in lines(whole) if "loss" in line]


def test_going_on_from_an_older_checkpoint_takes_the_log_back(tmp_path):
    folder = tmp_path / "run"
    (expected,) = threads.run(1, train, str(folder), "epochs=1", "checkpoint.every=4", "checkpoint.keep=99")
    before = lines(folder)
    older = folder / "checkpoints" / "step-00000008"
    again, *_ = threads.run(3, train, str(folder), "epochs=1", f"resume={older}", "checkpoint.keep=99")
    assert again == expected
    assert lines(folder) == before


CHANGES = {
    "batch_size=32": "batch_size=32 .it was 128.",
    "optimizer.lr=0.5": "optimizer.lr=0.5",
    "seed=9": "seed=9 .it was 0.",
    "workload.hidden=[8]": r"workload.hidden=\[8\]",
}


@pytest.mark.parametrize(("change", "message"), CHANGES.items())
def test_going_on_with_another_request_is_refused(tmp_path, change, message):
    folder = str(tmp_path / "run")
    threads.run(1, train, folder, "epochs=1", "steps=2")
    with pytest.raises(RequestError, match=rf"{message}.*resume_allow=\[{change.split('=')[0]}\]"):
        threads.run(1, train, folder, "epochs=1", "steps=4", "resume=latest", change)


ANOTHER = ("optimizer=sgd", "schedule=linear", "groups.rates={1.*:0.5}", "batch_size=64 optimizer.lr=0.002")


@pytest.mark.parametrize("change", ANOTHER)
def test_what_a_refusal_proposes_is_taken(tmp_path, change):
    folder, how = tmp_path / "run", ("epochs=1", *change.split())
    threads.run(1, train, folder, "epochs=1", "steps=2")
    with pytest.raises(RequestError) as refused:
        threads.run(1, train, folder, *how, "resume=latest", "steps=4")
    proposed = re.search(r"or add (resume_allow=\[.*\])", str(refused.value)).group(1)
    threads.run(1, train, folder, *how, "resume=latest", "steps=4", proposed)
    assert lines(folder)[-2]["step"] == 4


@pytest.mark.parametrize(("before", "after"), [(1000, 2000), (2000, 1000), (1000, 1500)])
def test_another_batch_size_goes_on_from_the_same_samples(tmp_path, before, after):
    """Two of four epochs of 4,000 samples are done; the rest of them are trained on, at the rate that is due."""
    folder, how = tmp_path / "run", ("epochs=4", "resume_allow=[batch_size]", "workload.hidden=[8]")
    threads.run(1, train, folder, *how[::2], f"batch_size={before}", f"steps={8000 // before}")
    threads.run(2, train, folder, *how, f"batch_size={after}", "resume=latest")
    told = [line for line in lines(folder) if "loss" in line]
    assert [line["step"] for line in told] == [*range(1, len(told) + 1)]
    for epoch in range(4):
        assert sum(line["samples"] for line in told if line["epoch"] == epoch) == 4000
    rates = [line["lr"] for line in told if line["epoch"] > 0]
    assert rates == sorted(rates, reverse=True)
    result = json.loads((folder / "result.json").read_text())
    assert (result["epochs"], result["samples"], result["steps"]) == (4, 16000, len(told))
    threads.run(1, train, folder, *how, f"batch_size={after}", "resume=latest")
    assert lines(folder)[: len(told)] == told


def test_another_batch_size_begins_no_batch_within_another(tmp_path):
    folder = tmp_path / "run"
    threads.run(1, train, folder, "batch_size=1000", "epochs=2", "steps=3")
    with pytest.raises(RequestError, match=r"batch_size=2000: the run stands after 3,000 samples of epoch 1, within a"):
        threads.run(1, train, folder, "batch_size=2000", "epochs=2", "resume=latest", "resume_allow=[batch_size]")
    threads.run(1, train, folder, "batch_size=500", "epochs=2", "resume=latest", "resume_allow=[batch_size]")
    told = [line for line in lines(folder) if "loss" in line]
    assert [line["samples"] for line in told] == [*[1000] * 3, 500, 500, *[500] * 8]


def said(comm, folder, *overrides):
    """What the user reads of the resumption."""
    torch.set_num_threads(1)
    console = Console(record=True, file=io.StringIO(), width=300)
    how = ("batch_size=512", "evaluate.every=never", "workload.hidden=[8]", f"run_dir={folder}")
    job.train(config.request(*how, *overrides), comm, console)
    return [line for line in console.export_text().splitlines() if line.startswith("resume: ")]


def test_it_is_said_where_a_run_goes_on_and_what_becomes_of_the_bits(tmp_path):
    folder = tmp_path / "run"
    newest = folder / "checkpoints" / "step-00000002"
    auto = ("epochs=1", "resume=latest", "checkpoint.every=1")
    (nothing, *_) = threads.run(2, said, folder, *auto, "steps=2", "engine=autograd", "optimizer=sgd")
    assert nothing == [f"resume: there is no checkpoint in {folder} yet: from step 0"]
    assert json.loads((newest / "checkpoint.json").read_text())["config"]["shards"] == 2
    (lines,) = threads.run(1, said, folder, *auto, "steps=3", "engine=manual", "optimizer=sgd", "checkpoint.keep=3")
    told = "resume: engine.name=manual (it was autograd): the bits are not those of a run without a break"
    assert lines == [f"resume: step 2, from {newest}", told]
    flip(folder / "checkpoints" / "step-00000003" / "optimizer.safetensors")
    (lines,) = threads.run(1, said, folder, *auto, "steps=3", "engine=manual", "optimizer=sgd")
    assert "passed over" in lines[0]
    assert "step-00000003/optimizer.safetensors: tensor " in lines[0]
    assert lines[1] == f"resume: step 2, from {newest}"


def test_fewer_steps_than_are_done_are_refused(tmp_path):
    folder = str(tmp_path / "run")
    threads.run(1, train, folder, "epochs=2", "steps=40")
    with pytest.raises(RequestError, match=r"steps=39: 40 or more: as many are done"):
        threads.run(1, train, folder, "epochs=2", "steps=39", "resume=latest")
    with pytest.raises(RequestError, match=r"epochs=1: 2 or more: as many have begun"):
        threads.run(1, train, folder, "epochs=1", "resume=latest")


def test_a_run_that_goes_on_elsewhere_begins_with_a_copy(tmp_path):
    """So that it can go on again before its first checkpoint."""
    before, after = tmp_path / "before", tmp_path / "after"
    threads.run(1, train, str(before), "epochs=1", "steps=2")
    (expected,) = threads.run(1, train, str(after), "epochs=1", "steps=4", f"resume={before}", "checkpoint.keep=9")
    assert [path.name for path in saved(after / "checkpoints")] == ["step-00000002", "step-00000004"]
    (again,) = threads.run(1, train, str(before), "epochs=1", "steps=4", "resume=latest")
    assert again == expected


def test_an_evaluation_that_was_due_is_made_up_for_once(tmp_path):
    """A run that is killed after an epoch's last checkpoint, before or after the evaluation, has one line of it."""
    folder = tmp_path / "run"
    how = ("epochs=2", "batch_size=1000", "evaluate.every=1", "checkpoint.every=4", "checkpoint.keep=9")
    threads.run(1, evaluating, str(folder), *how)
    whole = lines(folder)
    for cut in (5, 6):  # lines: four steps and, or without, their evaluation
        log = (folder / "metrics.jsonl").read_text().splitlines(keepends=True)
        (folder / "metrics.jsonl").write_text("".join(log[: cut - 1]))
        threads.run(1, evaluating, str(folder), *how, f"resume={folder}/checkpoints/step-00000004")
        assert lines(folder) == whole


def test_a_log_is_cut_where_the_run_goes_on(tmp_path):
    log = tmp_path / "metrics.jsonl"
    look = {"w": {"gradient": 1.5, "update": None, "weight": 3.0}}
    kept = [
        {"step": 1, "loss": 2.0}, {"step": 1, "evaluation": {}}, {"step": 1, "layers": look},
        {"step": 2, "skipped": "not finite"},
    ]  # fmt: skip
    gone = [{"step": 2, "evaluation": {}}, {"step": 3, "loss": 1.0}]
    whole = [json.dumps(line) + "\n" for line in kept + gone]
    log.write_text("".join(whole) + '{"step": 1, "lo')
    assert MetricsFile(tmp_path, first=2).loss is None
    assert log.read_text() == "".join(whole[:4])
    file = MetricsFile(tmp_path, first=1)
    assert (file.loss, file.layers) == (2.0, [{"w": Norms(1.5, math.inf, 3.0)}])
    assert log.read_text() == whole[0] + whole[2]


def test_the_best_is_kept_besides_the_newest_whatever_the_breaks(tmp_path):
    how = ("epochs=4", "batch_size=1000", "evaluate.every=1", "checkpoint.every=1", "checkpoint.keep=1")
    told = []
    for name, breaks in {"whole": (), "cut": (4, 9)}.items():
        folder = tmp_path / name
        for steps in breaks:
            threads.run(2, evaluating, str(folder), *how, f"steps={steps}", "resume=latest", *RISING)
        threads.run(1, evaluating, str(folder), *how, "resume=latest", *RISING)
        best = json.loads((folder / "result.json").read_text())["best"]
        told.append((best, [path.name for path in saved(folder / "checkpoints")], lines(folder)))
    assert told[0] == told[1]
    assert (told[0][0]["of"], told[0][0]["step"]) == ("max:loss", 4)
    assert told[0][1] == ["step-00000004", "step-00000016"]


def test_a_metric_that_is_none_is_refused(tmp_path):
    with pytest.raises(RequestError, match=r"checkpoint.best=max:acuracy: max: and one of .*; nearest: accuracy"):
        threads.run(1, evaluating, str(tmp_path / "run"), "epochs=1", "checkpoint.best=max:acuracy")


RISING = ("checkpoint.best=max:loss", "shards=2")  # the loss falls: its first value is the highest


def evaluating(comm, folder, *overrides):
    torch.set_num_threads(1)
    how = ("engine=autograd", "workload.hidden=[8]", "log.every=1", f"run_dir={folder}")
    job.train(config.request(*how, *overrides), comm, SILENT)


def test_what_is_allowed_to_change_may(tmp_path):
    folder = str(tmp_path / "run")
    threads.run(1, train, folder, "epochs=1", "steps=2")
    threads.run(1, train, folder, "steps=4", "resume=latest", "optimizer.lr=0.5", "resume_allow=[optimizer.lr]")


def test_the_model_loads_into_the_plain_module(tmp_path):
    threads.run(1, train, str(tmp_path / "run"), "epochs=1", "steps=2", "workload.hidden=[16]")
    module = perceptron([784, 16, 10], dropout=0.0, seed=5)
    state = load_file(saved(tmp_path / "run" / "checkpoints")[-1] / "model.safetensors")
    module.load_state_dict(state)
    assert torch.equal(nn.utils.parameters_to_vector(module.parameters())[:3], state["1.weight"].view(-1)[:3])


def test_going_on_from_an_older_checkpoint_leaves_the_newer_line(tmp_path):
    folder = tmp_path / "run"
    threads.run(1, train, str(folder), "epochs=1", "steps=16", "checkpoint.every=8", "checkpoint.keep=9")
    older = folder / "checkpoints" / "step-00000008"
    threads.run(1, train, str(folder), "epochs=1", "steps=8", f"resume={older}", "checkpoint.keep=9")
    assert [path.name for path in saved(folder / "checkpoints")] == ["step-00000008", "step-00000016"]
    assert json.loads((folder / "result.json").read_text())["steps"] == 8
    threads.run(1, train, str(folder), "epochs=1", "steps=9", f"resume={older}", "checkpoint.keep=9")
    assert [path.name for path in saved(folder / "checkpoints")] == ["step-00000008", "step-00000009"]


def test_the_checkpoints_of_another_run_stay(tmp_path):
    one, other = tmp_path / "one", tmp_path / "other"
    for folder in (one, other):
        threads.run(1, train, str(folder), "epochs=1", "steps=2")
    before = (one / "result.json").read_text()
    with pytest.raises(RequestError, match=r"run_dir=.*one: it holds checkpoints of a run"):
        threads.run(1, train, str(one), "epochs=1", "steps=3", f"resume={other}")
    assert [path.name for path in saved(one / "checkpoints")] == ["step-00000002"]
    assert (one / "result.json").read_text() == before
    link = tmp_path / "link"
    link.symlink_to(one)
    threads.run(1, train, str(one), "epochs=1", "steps=3", f"resume={link}")


def test_the_best_stays_where_no_rule_is_given_any_more(tmp_path):
    how = (str(tmp_path / "run"), "batch_size=1000", "evaluate.every=1", "checkpoint.keep=1")
    threads.run(1, evaluating, *how, "epochs=2", *RISING)
    threads.run(1, evaluating, *how, "epochs=3", "resume=latest", "shards=2")
    assert [path.name for path in saved(tmp_path / "run" / "checkpoints")] == ["step-00000004", "step-00000012"]
    threads.run(1, evaluating, *how, "epochs=4", "resume=latest", "shards=2", "checkpoint.best=min:loss")
    assert "step-00000004" not in [path.name for path in saved(tmp_path / "run" / "checkpoints")]


def test_the_best_of_another_run_is_not_this_one_s(tmp_path):
    """Its checkpoint is not among those of this run, unless it is the one that is gone on from."""
    how = ("checkpoint.best=max:accuracy", "checkpoint.keep=1", "optimizer.lr=0.001", "epochs=2")
    at = f"run_dir={tmp_path / 'one'}"
    request = config.request("shards=3", "batch_size=128", "steps=40", "evaluate.every=1", "log.every=1", *how, at)
    job.train(request, LocalCommunicator(), SILENT)
    for path in saved(tmp_path / "one" / "checkpoints"):
        other = tmp_path / path.name
        threads.run(1, train, str(other), *how, "steps=41", f"resume={path}")
        best = json.loads((other / "result.json").read_text())["best"]
        assert {f"step-{best['step']:08d}"} <= {kept.name for kept in saved(other / "checkpoints")}


def test_rmsprop_may_get_a_momentum_later(tmp_path):
    folder, how = str(tmp_path / "run"), ("optimizer=rmsprop", "epochs=1")
    threads.run(1, train, folder, *how, "steps=2")
    threads.run(
        1,
        train,
        folder,
        *how,
        "steps=4",
        "optimizer.momentum=0.9",
        "resume=latest",
        "resume_allow=[optimizer.momentum]",
    )
    assert lines(tmp_path / "run")[-2]["step"] == 4


def test_latest_is_the_newest_good_one(tmp_path):
    folder = tmp_path / "run"
    (expected,) = threads.run(1, train, str(folder), "epochs=1", "checkpoint.every=8", "checkpoint.keep=9")
    flip(saved(folder / "checkpoints")[-1] / "model.safetensors")
    (again,) = threads.run(1, train, str(folder), "epochs=1", "resume=latest")
    assert again == expected


def test_a_finished_run_that_is_resumed_keeps_its_result(tmp_path):
    folder = tmp_path / "run"
    threads.run(1, train, str(folder), "epochs=1", "steps=3")
    before = (folder / "result.json").read_text()
    threads.run(1, train, str(folder), "epochs=1", "steps=3", "resume=latest")
    assert (folder / "result.json").read_text() == before


def test_another_optimizer_begins_afresh(tmp_path):
    folder = str(tmp_path / "run")
    threads.run(1, train, folder, "epochs=1", "steps=2", "optimizer=sgd")
    allow = "resume_allow=[optimizer]"
    threads.run(1, train, folder, "epochs=1", "steps=4", "resume=latest", "optimizer=adamw", allow)
