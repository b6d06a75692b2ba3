"""Training in fewer bits: the loss scale and its rule, equal bits on other workers and after a break."""

import json

import pytest
import torch
from rich.console import Console

from distbp import config, job
from distbp.comm import threads
from distbp.engines.autograd import AutogradEngine
from distbp.errors import JobError, RequestError
from distbp.precision import Precision
from distbp.training import loss_scale
from distbp.training.loss_scale import LossScale
from distbp.training.range_test import Curve

TINY = ("workload.hidden=[24]", "workload.dropout=0.0", "batch_size=128", "evaluate.every=never")
SILENT = Console(quiet=True)


def request(folder, precision, *others):
    others = others if any(word.startswith("steps=") for word in others) else (*others, "steps=12")
    return [*TINY, f"precision={precision}", "shards=2", "log.every=1", f"run_dir={folder}", *others]


def train(comm, *words):
    torch.set_num_threads(1)
    return job.train(config.request(*words), comm, SILENT)


def told(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def skipped(folder):
    return [line["step"] for line in told(folder) if "skipped" in line]


def scale_of(precision, *, examples=1):
    return LossScale(AutogradEngine(torch.nn.Linear(1, 1), None, precision=Precision(precision)), examples=examples)


def test_step_for_step_the_rule_is_torchs():
    """Steps that overflow and steps that do not, in runs shorter and longer than the interval."""
    w = torch.zeros(1, requires_grad=True)
    theirs, optimizer = torch.amp.GradScaler("cpu"), torch.optim.SGD([w], lr=0.0)
    ours = scale_of("fp16")
    theirs.scale(w.sum())
    for good in (0, 1999, 1, 2000, 2003, 0, 0, 1):
        for step in range(good + 1):
            w.grad = torch.full((1,), 1.0 if step < good else float("inf"))
            theirs.step(optimizer)
            theirs.update()
            if step < good:
                ours.grow()
            else:
                assert ours.back_off()
            assert ours.value == theirs.get_scale()


def test_the_scale_has_bounds(monkeypatch):
    monkeypatch.setattr(loss_scale, "INTERVAL", 1)
    scale = scale_of("fp16")
    for _ in range(40):
        scale.grow()
    assert scale.value == loss_scale.MOST
    steps = 0
    while scale.back_off():
        steps += 1
    assert (steps, scale.value) == (38, loss_scale.LEAST)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_other_precisions_have_no_scale(precision):
    scale = scale_of(precision, examples=100)
    scale.grow()
    assert (scale.value, scale.state(), scale.back_off()) == (1.0, {}, False)


def test_the_engines_scale_is_that_of_a_mean_and_a_power_of_two():
    scale = scale_of("fp16", examples=100)
    assert scale._engine.scale == 2.0**16 / 128
    assert scale.state() == {"value": 2.0**16, "good": 0}


@pytest.mark.parametrize(("engine", "cut"), [("manual", 3), ("autograd", 8)])
def test_an_overflow_is_skipped_by_all_workers_and_found_again_after_a_break(tmp_path, monkeypatch, engine, cut):
    """From a scale that is much too large; the guard stops at what is no number, and an overflow is none of that."""
    monkeypatch.setattr(loss_scale, "FIRST", loss_scale.MOST)
    monkeypatch.setattr(loss_scale, "INTERVAL", 3)
    how = ["guards.nonfinite=stop", f"engine={engine}"]
    (one,) = threads.run(1, train, *request(tmp_path / "one", "fp16", *how))
    two, _ = threads.run(2, train, *request(tmp_path / "two", "fp16", *how))
    threads.run(1, train, *request(tmp_path / "cut", "fp16", *how, f"steps={cut}"))
    resumed, _ = threads.run(2, train, *request(tmp_path / "cut", "fp16", *how, "resume=latest"))
    steps = [skipped(tmp_path / name) for name in ("one", "two", "cut")]
    assert steps[0][:4] == [1, 2, 3, 4]
    assert len(steps[0]) < 12
    assert steps == [steps[0]] * 3
    results = [(made["precision"], made["loss_scale"], made["weights_sha256"]) for made in (one, two, resumed)]
    assert results == [("fp16", one["loss_scale"], one["weights_sha256"])] * 3
    assert one["loss_scale"] < loss_scale.MOST


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_two_workers_that_mpirun_starts_have_the_bits_of_one(pool, tmp_path, precision):
    (alone,) = threads.run(1, train, *request(tmp_path / "alone", precision))
    two, _ = pool.run("mpi", 2, train, *request(tmp_path / "two", precision))
    assert (two["world_size"], two["precision"]) == (2, precision)
    assert two["weights_sha256"] == alone["weights_sha256"]


def test_going_on_has_the_bits_of_the_undisturbed_run(tmp_path):
    (whole,) = threads.run(1, train, *request(tmp_path / "whole", "bf16"))
    threads.run(2, train, *request(tmp_path / "cut", "bf16", "steps=5"))
    (resumed,) = threads.run(1, train, *request(tmp_path / "cut", "bf16", "resume=latest"))
    assert resumed["weights_sha256"] == whole["weights_sha256"]


def test_going_on_in_another_precision_must_be_allowed(tmp_path):
    threads.run(1, train, *request(tmp_path, "fp16", "steps=2"))
    with pytest.raises(RequestError, match=r"precision=bf16 .it was fp16.; or add resume_allow=\[precision\]"):
        threads.run(1, train, *request(tmp_path, "bf16", "steps=4", "resume=latest"))
    allowed = ("steps=4", "resume=latest", "resume_allow=[precision]")
    (result,) = threads.run(1, train, *request(tmp_path, "bf16", *allowed))
    assert (result["precision"], result["loss_scale"]) == ("bf16", 1.0)


def test_norms_and_clipping_are_of_unscaled_gradients(tmp_path):
    norms = []
    for precision in ("fp32", "fp16"):
        threads.run(1, train, *request(tmp_path / precision, precision, "clip.norm=0.5", "steps=2"))
        norms.append([line["gradient_norm"] for line in told(tmp_path / precision) if "loss" in line])
    assert norms[1] == pytest.approx(norms[0], rel=0.01)


def test_a_loss_that_is_no_number_stops_the_run(tmp_path):
    with pytest.raises(JobError, match=r"the loss is (nan|inf) on its samples"):
        threads.run(1, train, *request(tmp_path, "fp16", "optimizer=sgd", "optimizer.lr=1e30"))


def test_a_scale_that_cannot_fall_further_stops_the_run(tmp_path, monkeypatch):
    monkeypatch.setattr(loss_scale, "FIRST", 2.0**40)
    monkeypatch.setattr(loss_scale, "LEAST", 2.0**38)
    with pytest.raises(JobError, match=r"its gradient of .* is not finite; the weights are those of the step before"):
        threads.run(1, train, *request(tmp_path, "fp16"))
    assert skipped(tmp_path) == [1, 2]


def test_a_range_test_is_not_over_because_the_scale_is_found():
    curve = Curve()
    curve.rescaled(1, "too large")
    assert not curve.over


def test_compressed_sums_remember_and_cannot_skip(tmp_path):
    with pytest.raises(RequestError, match=r"precision=fp16: fp32 or bf16 is allowed with reduction\.compression"):
        config.request(*request(tmp_path, "fp16", "reduction.compression=bf16"))
