"""``distbp bench`` as a user types it: a table, JSON, and what is refused."""

import contextlib
import io
import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from statistics import geometric_mean

import pytest
import torch
from rich.console import Console

from distbp import config
from distbp.comm.base import Communicator
from distbp.verbs import VERBS
from tests.cli.conftest import Distbp, Launched, distbp, here, launched
from tests.launch.start import Run, under
from tests.pool import Pool
from tests.warm import python

__all__ = ["distbp", "here", "launched"]  # fixtures

ROW = {"model", "threads", "manual_ms", "autograd_ms", "compile_ms", "ratio", "memory_ratio"}
QUICK = ["bench.models=[mlp_small]", "bench.rounds=2", "bench.compile=false", "threads=1"]
MODELS = "all or a list of mlp_small, mlp_large, cnn, resnet20, lstm_lm, gpt_small, gpt_vocab, neumf is allowed"


def run(folder: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    command = [python(), "-m", "distbp", *words]
    return subprocess.run(
        command, cwd=folder, env=dict(os.environ), capture_output=True, text=True, timeout=100, check=False
    )


def test_a_quick_run(tmp_path: Path) -> None:
    done = run(tmp_path, "bench", "engines", *QUICK, "output=figures.json")
    assert done.returncode == 0, done.stderr
    head, row, total, *_ = done.stdout.splitlines()
    assert head.split()[0] == "model"
    assert row.split()[:2] == ["mlp_small", "1"]
    assert total.startswith("geomean ")
    figures = json.loads((tmp_path / "figures.json").read_text())
    (found,) = figures["rows"]
    assert found.keys() >= ROW
    assert (found["model"], found["threads"], found["compile_ms"]) == ("mlp_small", 1, None)
    assert min(found[name] for name in ("manual_ms", "autograd_ms", "ratio", "memory_ratio")) > 0
    assert figures["summary"]["geomean_ratio"] == pytest.approx(found["ratio"])
    assert figures["summary"]["geomean_memory_ratio"] == pytest.approx(found["memory_ratio"])
    assert figures["environment"].keys() >= {"device", "threads", "cpu", "torch"}
    assert [path.name for path in tmp_path.iterdir()] == ["figures.json"]


Printed = Callable[..., str]
"""What ``bench`` of this name prints, given some words."""


def printed(comm: Communicator, name: str, *words: str) -> str:
    torch.set_num_threads(1)
    with contextlib.redirect_stdout(io.StringIO()) as out:
        VERBS[f"bench {name}"](config.request(*words), comm, Console(quiet=True))
    return out.getvalue()


def workers(_pool: Pool, name: str, *words: str) -> str:
    """As a user types it, the launcher and its workers included."""
    done = Run([python(), "-m", "distbp", "bench", name, "workers=2", *words])
    assert done.wait() == 0, done.stderr
    return done.stdout


def mpirun(_pool: Pool, name: str, *words: str) -> str:
    done = Run([*under("mpirun", 2, python()), "-m", "distbp", "bench", name, *words])
    assert done.wait() == 0, done.stderr
    return done.stdout


def resident(kind: str) -> Printed:
    """What rank 0 prints of two that stand already: how they came to stand is measured by nobody."""
    return lambda pool, name, *words: pool.run(kind, 2, printed, name, *words)[0]


WAYS = ("memcpy", "window", "messages", "mpi", "gloo")


@pytest.mark.parametrize(
    ("bench", "missing"), [(workers, ()), (resident("torch"), ("mpi",))], ids=["workers", "torchrun"]
)
def test_sums_of_two_workers(pool: Pool, tmp_path: Path, bench: Printed, missing: tuple[str, ...]) -> None:
    figures = tmp_path / "figures.json"
    head, *lines, _closing = bench(
        pool, "reduction", "bench.largest=65536", "bench.rounds=2", f"output={figures}"
    ).splitlines()
    assert head.split()[0] == "bytes"
    found = json.loads(figures.read_text())
    assert [int(line.split()[0].replace(",", "")) for line in lines] == [4096, 16384, 65536]
    assert [row["bytes"] for row in found["rows"]] == [4096, 16384, 65536]
    assert found["environment"]["workers"] == 2
    for row in found["rows"]:
        assert [name for name in WAYS if row[f"{name}_ms"] is None] == list(missing)
        assert all(row[f"{name}_ms"] > 0 for name in WAYS if name not in missing)
        assert (row["window_ratio"] is None) == ("window" in missing)


def test_tables_of_two_workers(pool: Pool, tmp_path: Path) -> None:
    figures = tmp_path / "figures.json"
    resident("mpi")(pool, "rows", "bench.tallest=100000", "bench.rounds=2", f"output={figures}")
    found = json.loads(figures.read_text())["rows"]
    assert [row["rows"] for row in found] == [10_000, 100_000]
    assert found[0]["ratio"] == 1
    for row in found:
        assert row["ddp_ratio"] == pytest.approx(row["ddp_ms"] / row["ours_ms"])
        assert min(row["ours_ms"], row["ratio"]) > 0


RACED = ["ours", "ddp", "mpi4py", "threads", "alone", "library", "sharded", "late"]
RATIOS = ["ddp_ratio", "bound", "mpi4py_ratio", "threads_ratio", "ordered_ratio", "sharded_ratio", "overlap_ratio"]
TWO = ["mlp_small", "neumf"]


@pytest.mark.parametrize(
    ("bench", "models", "missing"),
    [
        (workers, ["mlp_small"], ()),
        pytest.param(mpirun, TWO, ("ddp_torchrun",), marks=pytest.mark.long),
        (resident("torch"), ["mlp_small"], ("mpi4py", "ddp_torchrun")),
    ],
    ids=["workers", "mpirun", "torchrun"],
)
def test_a_race_of_two_workers(
    pool: Pool, tmp_path: Path, bench: Printed, models: list[str], missing: tuple[str, ...]
) -> None:
    figures = tmp_path / "figures.json"
    told = bench(pool, "race", "bench.rounds=2", f"bench.models=[{','.join(models)}]", f"output={figures}")
    named = [text.split()[0] for text in told.splitlines()]
    assert named[: len(models) + 2] == ["model", *models, "geomean"]
    found = json.loads(figures.read_text())
    assert found["environment"]["workers"] == 2
    assert found["environment"]["threads"] == 1
    for row in found["rows"]:
        times = {name: row[f"{name}_ms"] for name in [*RACED, "ddp_inside", "ddp_torchrun"]}
        assert [name for name, time in times.items() if time is None] == list(missing)
        assert all(time > 0 for time in times.values() if time is not None)
        assert times["ddp"] == min(time for time in (times["ddp_inside"], times["ddp_torchrun"]) if time is not None)
    for name in RATIOS:
        values = [row[name] for row in found["rows"] if row[name] is not None]
        assert found["summary"][f"geomean_{name}"] == (pytest.approx(geometric_mean(values)) if values else None)
        assert bool(values) == (name.removesuffix("_ratio") not in missing)


def test_what_is_asked_for_reaches_the_verb(distbp: Distbp, launched: Launched) -> None:
    assert distbp("bench", "engines", "bench.models=[cnn,neumf]", "bench.compile=false", "bench.rounds=5").code == 0
    ((verb, request),) = launched.jobs
    assert verb == "bench engines"
    assert (request.bench.models, request.bench.rounds, request.bench.compile) == (("cnn", "neumf"), 5, False)


WRONG = [
    ("bench", "bench=(missing)", "engines, reduction, race, rows is allowed", ""),
    ("bench  engine", "bench=engine", "engines, reduction, race, rows is allowed", "engines"),
    ("bench  engines  engines", "bench=engines engines", "engines, reduction, race, rows is allowed", ""),
    ("bench  engines  workers=2", "workers=2", "1 is allowed: bench engines measures one process", ""),
    ("bench  reduction", "workers=1", "2 or more are needed: bench reduction measures sums over workers", ""),
    ("bench  race", "workers=1", "2 or more are needed: bench race measures steps of several workers", ""),
    ("bench  race  workers=2  bench.models=[neumff]", "bench.models=neumff", MODELS, "neumf"),
    ("bench  reductoin  workers=2", "bench=reductoin", "engines, reduction, race, rows is allowed", "reduction"),
    ("bench  reduction  workers=2  bench.largest=1", "bench.largest=1", "a whole number from 4096", ""),
    ("bench  engines  bench.models=[mlp_smal]", "bench.models=mlp_smal", MODELS, "mlp_small"),
    ("bench  engines  bench.models=[]", "bench.models=[]", MODELS, ""),
    ("bench  engines  bench.models=cnn", "bench.models=cnn", "all or a list", ""),
    ("bench  engines  bench.rounds=1", "bench.rounds=1", "a whole number from 2", ""),
    ("bench  engines  bench.compile=yes", "bench.compile=yes", "auto or false is allowed", ""),
    ("bench  engines  bench.compile=true", "bench.compile=true", "auto or false is allowed", ""),
    ("bench  engines  bench.round=3", "bench.round=3", "there is no such key", "bench.rounds"),
    ("train  bench.modles=[cnn]", "bench.modles=", "there is no such key", "bench.models"),
]


@pytest.mark.parametrize(("line", "begins", "allowed", "near"), WRONG, ids=[row[0] for row in WRONG])
def test_is_refused_in_one_line(  # noqa: PLR0917 - pytest gives its arguments by name
    distbp: Distbp,
    launched: Launched,
    line: str,
    begins: str,
    allowed: str,
    near: str,
) -> None:
    answer = distbp(*line.split("  "))
    assert answer.code == 2, answer
    assert answer.err.count("\n") == 1, answer.err
    assert answer.err.startswith(f"distbp: error: {begins}"), answer.err
    assert allowed in answer.err
    assert (f"; nearest: {near}" in answer.err) if near else True, answer.err
    assert not launched.jobs


@pytest.mark.parametrize(
    ("word", "begins"), [("device=cuda", "device=cuda: "), ("output=no/such/folder", "output=no/such/folder: ")]
)
def test_is_refused_before_anything_is_measured(
    here: Distbp, monkeypatch: pytest.MonkeyPatch, word: str, begins: str
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    answer = here("bench", "engines", *QUICK, word)
    assert (answer.code, answer.out, answer.err.count("\n")) == (2, "", 1), answer
    assert answer.err.startswith(f"distbp: error: {begins}")
