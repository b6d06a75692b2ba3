"""What a run tells of its layers and of its loss is the same on every communicator: a training that bursts."""

import json

import pytest

from tests.launch.bits import train
from tests.launch.start import Run, command
from tests.warm import python

BURSTS = (
    "shards=4", "steps=30", "log.every=1", "log.layers=5", "evaluate.every=never",
    "optimizer=sgd", "optimizer.lr=5", "schedule.warmup_epochs=8",
)  # fmt: skip
CLOCK = ("samples_per_second", "step_ms")


def told(folder):
    """The lines without their times."""
    lines = map(json.loads, (folder / "metrics.jsonl").read_text().splitlines())
    return [{key: value for key, value in line.items() if key not in CLOCK} for line in lines]


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The lines of a run by one worker, and what it printed."""
    folder = tmp_path_factory.mktemp("alone") / "run"
    run = Run(command("alone", 1, *BURSTS, f"run_dir={folder}", python=python()))
    assert run.wait() == 0, run.stderr
    return told(folder), run.stdout


def test_a_burst_is_told_in_a_line_with_the_layer(alone):
    lines, printed = alone
    assert [line["step"] for line in lines if "layers" in line] == [5, 10, 15, 20, 25, 30]
    warnings = [f"step {line['step']}: {line['warning']}" for line in lines if "warning" in line]
    assert len(warnings) == len({*warnings}) == sum(line in warnings for line in printed.splitlines())
    (exploding,) = (line for line in warnings if "is exploding" in line)
    assert "layer 7.weight is exploding: updates are " in exploding
    jump = next(line for line in warnings if "the loss jumped to" in line)
    assert "times that of the last look" in jump


@pytest.mark.parametrize("kind", ["mpi", "torch"])
def test_every_communicator_tells_the_same(pool, tmp_path, alone, kind):
    pool.run(kind, 2, train, *BURSTS, f"run_dir={tmp_path / 'run'}")
    assert told(tmp_path / "run") == alone[0]
