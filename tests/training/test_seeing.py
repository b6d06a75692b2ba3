"""What a practitioner sees of a run: its lines, the events of TensorBoard, the progress on a console or in a file."""

import io
import json
import re
import shutil
import sys
from collections import defaultdict

import pytest
from rich.console import Console

from distbp import config, job
from distbp.comm import threads
from distbp.display import LineDisplay, clock, display
from distbp.errors import RequestError

HOW = ("shards=2", "batch_size=1000", "log.every=1", "log.layers=2", "threads=1")


def train(comm, console, *request):
    job.train(config.request(*request), comm, console)


def run(folder, *request, size=1):
    threads.run(size, train, Console(quiet=True), f"run_dir={folder}", *HOW, *request)


def lines(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def events(folder):
    """What TensorBoard shows: {tag: {step: value}}; a step that is shown twice is none."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    shown = EventAccumulator(str(folder)).Reload()
    found = {tag: [(event.step, event.value) for event in shown.Scalars(tag)] for tag in shown.Tags()["scalars"]}
    assert all(len({step for step, _ in scalars}) == len(scalars) for scalars in found.values())
    return {tag: dict(scalars) for tag, scalars in found.items()}


def told(folder):
    """The same figures from metrics.jsonl, ``train`` and ``evaluation``."""
    train, evaluation = defaultdict(dict), defaultdict(dict)
    for line in lines(folder):
        step = line["step"]
        for tag in {"loss", "lr", "gradient_norm", "compression_error", "samples_per_second"} & line.keys():
            train[tag][step] = line[tag]
        for name, norms in line.get("layers", {}).items():
            train[f"gradient/{name}"][step] = norms["gradient"]
            train[f"update_to_weight/{name}"][step] = norms["update"] / norms["weight"]
        for tag, value in line.get("evaluation", {}).items():
            evaluation[tag][step] = value
    return train, evaluation


@pytest.mark.parametrize("cut", [4, 6])
def test_tensorboard_shows_each_step_once_whatever_the_breaks(tmp_path, cut):
    """What a job had told after its last checkpoint is told anew; after 4 steps, an epoch, that is an evaluation."""
    how = ("log.tensorboard=true", "epochs=3", "evaluate.every=1", "checkpoint.every=2", "checkpoint.keep=9")
    run(tmp_path, *how, "steps=8")
    for step in range(cut + 2, 9, 2):
        shutil.rmtree(tmp_path / "checkpoints" / f"step-{step:08d}")
    run(tmp_path, *how, "resume=latest", size=2)
    for name, expected in zip(("train", "evaluation"), told(tmp_path), strict=True):
        shown = events(tmp_path / "tensorboard" / name)
        assert shown.keys() == expected.keys()
        for tag, values in expected.items():
            assert shown[tag] == pytest.approx(values, rel=1e-6)
    assert {*told(tmp_path)[0]["loss"]} == {*range(1, 13)}
    assert {*told(tmp_path)[1]["accuracy"]} == {4, 8, 12}


def test_without_the_package_the_request_is_refused(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(RequestError, match=r"log.tensorboard=true: the package tensorboard is needed.*pip install"):
        run(tmp_path / "run", "log.tensorboard=true", "steps=1")
    assert not (tmp_path / "run").exists()


def test_a_file_gets_whole_lines_and_few(tmp_path):
    console = Console(file=io.StringIO(), width=60)
    threads.run(1, train, console, f"run_dir={tmp_path}", *HOW, "steps=6", "evaluate.every=never")
    written = console.file.getvalue()
    first = written.splitlines()[0]
    assert re.fullmatch(
        r"epoch 1  step 1/6  - left  loss \d\.\d{4}  lr \S+  [\d,]+ samples/s"
        r"  data \d+%  compute \d+%  reduce \d+%  update \d+%",
        first,
    )
    assert written.count("step 1/6") == 1
    assert "\r" not in written
    assert "\x1b" not in written


class Moments:
    """A clock that a test sets."""

    def __init__(self):
        self.now = 100.0

    def monotonic(self):
        return self.now


@pytest.mark.parametrize("terminal", [False, True])
def test_the_time_left_follows_the_pace(monkeypatch, terminal):
    moments = Moments()
    monkeypatch.setattr("distbp.display.time", moments)
    console = Console(file=io.StringIO(), width=60, force_terminal=terminal)
    shown = display(console, steps=1000)
    moments.now += 50  # until the first step is done
    shown.show(401, 1, "loss 1")
    assert "401/1000  - left" in console.file.getvalue()
    moments.now += 10
    assert shown.due
    shown.show(501, 1, "loss 1")
    assert "501/1000  0:49 left" in console.file.getvalue()
    assert not shown.due


def test_lines_become_rare(monkeypatch):
    moments = Moments()
    monkeypatch.setattr("distbp.display.time", moments)
    shown = LineDisplay(Console(file=io.StringIO()), steps=10**6)
    hours = 24
    for step in range(hours * 3600):
        moments.now += 1
        if shown.due:
            shown.show(step, 0, "")
    assert shown.console.file.getvalue().count("\n") < hours * 60 + 60


@pytest.mark.parametrize(
    ("seconds", "text"), [(7, "0:07"), (750.9, "12:30"), (11100, "3:05:00"), (400000, "111:06:40")]
)
def test_a_time_is_read_at_a_glance(seconds, text):
    assert clock(seconds) == text
