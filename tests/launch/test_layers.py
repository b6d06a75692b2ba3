"""What a run tells of its layers and of its loss is the same under every launch: a training that bursts."""

import json

import pytest

from tests.launch.start import Run, command

BURSTS = (
    "shards=4", "steps=30", "log.every=1", "log.layers=5", "evaluate.every=never",
    "optimizer=sgd", "optimizer.lr=5", "schedule.warmup_epochs=8",
)  # fmt: skip
CLOCK = ("samples_per_second", "step_ms")


def told(folder, launcher, size):
    """The lines without their times, and what was printed."""
    run = Run(command(launcher, size, *BURSTS, f"run_dir={folder}"))
    assert run.wait() == 0, run.stderr
    lines = map(json.loads, (folder / "metrics.jsonl").read_text().splitlines())
    return [{key: value for key, value in line.items() if key not in CLOCK} for line in lines], run.stdout


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    return told(tmp_path_factory.mktemp("alone") / "run", "alone", 1)


def test_a_burst_is_told_in_a_line_with_the_layer(alone):
    lines, printed = alone
    assert [line["step"] for line in lines if "layers" in line] == [5, 10, 15, 20, 25, 30]
    warnings = [f"step {line['step']}: {line['warning']}" for line in lines if "warning" in line]
    assert len(warnings) == len({*warnings}) == sum(line in warnings for line in printed.splitlines())
    (exploding,) = (line for line in warnings if "is exploding" in line)
    assert "layer 7.weight is exploding: updates are " in exploding
    jump = next(line for line in warnings if "the loss jumped to" in line)
    assert "times that of the last look" in jump


@pytest.mark.parametrize(("launcher", "size"), [("mpirun", 2), ("torchrun", 2)])
def test_every_launch_tells_the_same(tmp_path, alone, launcher, size):
    lines, _ = told(tmp_path / "run", launcher, size)
    assert lines == alone[0]
