"""``distbp explain`` as a user types it."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.cli.conftest import Distbp, Launched, distbp, here, launched
from tests.explain.test_standalone import run as run_file
from tests.warm import python

__all__ = ["distbp", "here", "launched"]  # fixtures

GRADIENTS = [f"{n}.{leaf}" for n in (1, 4, 7) for leaf in ("weight", "bias")]


def run(folder: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    command = [python(), "-m", "distbp", *words]
    return subprocess.run(
        command, cwd=folder, env=dict(os.environ), capture_output=True, text=True, timeout=100, check=False
    )


def test_the_table_and_then_the_source(tmp_path: Path) -> None:
    done = run(tmp_path, "explain")
    assert done.returncode == 0, done.stderr
    table, source = done.stdout.split("\n\n", 1)
    assert table.splitlines()[0].split()[0] == "module"
    assert "535,818" in table
    assert source.startswith('"""The forward and the backward pass of Sequential')
    assert "def backward(d_loss, complete):" in source
    assert list(tmp_path.iterdir()) == []


def test_the_file_of_the_default_workload_runs_by_itself(here: Distbp, tmp_path: Path) -> None:
    answer = here("explain", "output=passes.py", "batch_size=8")
    assert answer.code == 0, answer.err
    assert "the arena: " in answer.out.splitlines()[-1]
    printed = run_file(tmp_path / "passes.py")
    assert sorted(printed) == sorted([*GRADIENTS, "loss"])
    assert 0 < printed["loss"] < 1000


def test_the_casts_of_a_precision_are_shown_and_run(here: Distbp, tmp_path: Path) -> None:
    answer = here("explain", "output=passes.py", "batch_size=8", "precision=bf16")
    assert answer.code == 0, answer.err
    casts = [line for line in answer.out.splitlines() if " _to_copy " in line]
    assert len(casts) == 7  # three layers' weights and biases, and the pictures
    assert "linear_1_weight_bf16.copy_(linear_1_weight)" in (tmp_path / "passes.py").read_text()
    printed = run_file(tmp_path / "passes.py")
    assert sorted(printed) == sorted([*GRADIENTS, "loss"])


def test_it_runs_in_the_launching_process(distbp: Distbp, launched: Launched) -> None:
    assert distbp("explain", "workers=1").code == 0
    assert [verb for verb, _ in launched.jobs] == ["explain"]


@pytest.mark.parametrize(
    ("line", "begins", "allowed"),
    [
        ("explain  workers=2", "workers=2", "1 is allowed: explain explains one process"),
        ("explian", "verb=explian", "nearest: explain"),
        ("explain  batch_sise=3", "batch_sise=3", "there is no such key"),
    ],
)
def test_is_refused_in_one_line(distbp: Distbp, launched: Launched, line: str, begins: str, allowed: str) -> None:
    answer = distbp(*line.split("  "))
    assert (answer.code, answer.err.count("\n")) == (2, 1), answer
    assert answer.err.startswith(f"distbp: error: {begins}"), answer.err
    assert allowed in answer.err
    assert not launched.jobs


@pytest.mark.parametrize(
    ("word", "begins"),
    [
        ("engine=autograd", "engine=autograd: manual is allowed"),
        ("output=no/such/folder", "output=no/such/folder: "),
    ],
)
def test_is_refused_before_anything_is_shown(here: Distbp, word: str, begins: str) -> None:
    answer = here("explain", word)
    assert (answer.code, answer.out, answer.err.count("\n")) == (2, "", 1), answer
    assert answer.err.startswith(f"distbp: error: {begins}")
