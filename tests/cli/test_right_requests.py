"""What a right command line does: what it shows, what it runs, in which folder, and how it ends."""

import io
import os
import sys
from pathlib import Path

import pytest
import yaml

from distbp import cli, launcher
from distbp.comm.world import World
from distbp.config import conf_dir
from distbp.errors import JobError, RequestError
from distbp.schema import Request
from distbp.training import shelf
from tests.cli.conftest import Distbp, Launched


def test_train_is_the_verb_where_none_is_given(distbp: Distbp, launched: Launched) -> None:
    assert distbp("seed=3").code == 0
    ((verb, request),) = launched.jobs
    assert (verb, request.seed, request.overrides) == ("train", 3, ("seed=3",))


@pytest.mark.parametrize(
    ("written", "value"), [("1e-3", 1e-3), ("'1e-3'", 1e-3), ("1", 1.0), ("${comm.timeout}", 60.0)]
)
def test_numbers_may_be_written_in_many_ways(distbp: Distbp, launched: Launched, written: str, value: float) -> None:
    assert distbp(f"optimizer.lr={written}").code == 0
    assert launched.request.optimizer["lr"] == value


def test_whole_numbers_may_be_written_in_many_ways(distbp: Distbp, launched: Launched) -> None:
    assert distbp("epochs=1e2", "batch_size='32'", "steps=1_000").code == 0
    assert (launched.request.epochs, launched.request.batch_size, launched.request.steps) == (100, 32, 1000)


def test_a_path_that_looks_like_a_number_is_a_path(distbp: Distbp, launched: Launched) -> None:
    assert distbp("run_dir=2026_11_30", "data.path=007", "output=1e3").code == 0
    request = launched.request
    assert (request.run_dir, request.data.path, request.output) == ("2026_11_30", "007", "1e3")
    launched.jobs.clear()
    assert distbp("run_dir=2026", "data.cache='~/x'").code == 0
    assert (launched.request.run_dir, launched.request.data.cache) == ("2026", str(Path("~/x").expanduser()))


def test_a_request_is_the_same_after_a_journey_as_json(distbp: Distbp, launched: Launched) -> None:
    distbp("optimizer=sgd", "shards=4", "resume_allow=[seed]", "resume=x")
    assert Request.model_validate_json(launched.request.model_dump_json()) == launched.request


CHOICES = [
    f"{group.name}={path.relative_to(group).with_suffix('')}"
    for group in sorted(conf_dir().iterdir())
    if group.is_dir()
    for path in sorted(group.rglob("*.yaml"))
]


@pytest.mark.parametrize("word", CHOICES)
def test_every_choice_composes(distbp: Distbp, launched: Launched, word: str) -> None:
    assert distbp(word).code == 0
    group, _, choice = word.partition("=")
    if group == "experiment":  # a named run leaves no key of its own: it is known by the workload that it trains
        written = yaml.safe_load((conf_dir() / group / f"{choice}.yaml").read_text())
        group, choice = "workload", written["defaults"][0]["override /workload"]
    assert launched.request.model_dump()[group]["name"] == choice


def test_help_names_every_key_with_its_meaning(distbp: Distbp, launched: Launched) -> None:
    answer = distbp("--help")
    assert answer.code == 0
    distbp()
    shown = {line.split("=")[0].strip() for line in answer.out.splitlines() if "=" in line and line.split()[1:]}
    assert set(keys(launched.request.model_dump())) - {"overrides"} <= shown
    assert all(f"{verb} " in answer.out for verb in ("train", "evaluate", "explain", "bench", "data", "doctor"))
    assert "sgd: share of the last update" in answer.out


def keys(node: dict[str, object], prefix: str = "") -> list[str]:
    """Every dotted key that a user may set."""
    found = []
    for key, value in node.items():
        if isinstance(value, dict):
            found += keys(value, f"{prefix}{key}.")
        elif key not in {"name", "_target_"}:
            found.append(prefix + key)
    return found


SHOWN = [
    (["--version"], "distbp "),
    (["--cfg", "job"], "batch_size: "),
    (["--cfg", "job", "--resolve", "optimizer=sgd"], "name: sgd"),
    (["--cfg", "hydra"], "hydra:"),
    (["--cfg", "all", "seed=7"], "seed: 7"),
    (["train", "-c", "job", "seed=7"], "seed: 7"),
    (["--info", "searchpath"], str(conf_dir())),
    (["--info", "defaults"], "optimizer/adamw"),
    (["--hydra-help"], "hydra.cc"),
    (["data", "list"], "digits"),
    (["data", "list", "data.cache=elsewhere"], "not cached"),
]


@pytest.mark.parametrize(("argv", "fragment"), SHOWN, ids=[" ".join(argv) for argv, _ in SHOWN])
def test_options_show_and_run_nothing(
    distbp: Distbp, launched: Launched, tmp_path: Path, argv: list[str], fragment: str
) -> None:
    answer = distbp(*argv)
    assert (answer.code, answer.err) == (0, "")
    assert fragment in answer.out
    assert not launched.jobs
    assert not list(tmp_path.iterdir())


def test_a_table_goes_into_a_file(distbp: Distbp, tmp_path: Path) -> None:
    answer = distbp("data", "list", "output=table.txt")
    assert (answer.code, answer.out) == (0, "")
    assert "digits" in (tmp_path / "table.txt").read_text()


def test_a_file_that_cannot_be_written_is_named(distbp: Distbp) -> None:
    answer = distbp("data", "list", "output=no/such/folder")
    assert answer.code == 2
    assert answer.err.startswith("distbp: error: output=no/such/folder: ")


@pytest.mark.parametrize("verb", ["find_lr", "check", "explain", "bench engines"])
def test_a_file_that_cannot_be_written_is_named_before_the_work(distbp: Distbp, launched: Launched, verb: str) -> None:
    for output in ("no/such/file", "."):
        answer = distbp(*verb.split(), f"output={output}")
        assert (answer.code, launched.jobs) == (2, [])
        assert answer.err.startswith(f"distbp: error: output={output}: ")


RECORDED = [
    "optimizer=sgd",
    "batch_size=8",
    "seed=3",
    "+steps=5",
    "workers=4",
    "shards=4",
    "comm.timeout=5",
    "run_dir=a",
    "resume=b",
]


def test_evaluate_asks_for_what_the_run_asked_for(
    distbp: Distbp, launched: Launched, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    monkeypatch.setattr(shelf, "configuration_of", lambda *where: asked.append(where) or {"overrides": RECORDED})
    assert distbp("evaluate", "resume=latest", "run_dir=there", "seed=9").code == 0
    assert asked == [("latest", "there")]
    ((verb, request),) = launched.jobs
    assert (verb, request.optimizer["name"], request.batch_size, request.steps) == ("evaluate", "sgd", 8, 5)
    assert (request.seed, request.resume, request.run_dir) == (9, "latest", "there")
    assert (request.workers, request.shards, request.comm.timeout) == (None, "auto", 60.0)


@pytest.mark.parametrize("typed", ["2026_12_01", "'2026_12_01'", "${oc.env:THERE}"])
def test_evaluate_looks_where_it_is_told_to(
    distbp: Distbp, launched: Launched, monkeypatch: pytest.MonkeyPatch, typed: str
) -> None:
    monkeypatch.setenv("THERE", "2026_12_01")
    asked = []
    monkeypatch.setattr(shelf, "configuration_of", lambda *where: asked.append(where) or {})
    assert distbp("evaluate", "resume=latest", f"run_dir={typed}").code == 0
    assert distbp("evaluate", f"resume={typed}").code == 0
    assert asked == [("latest", "2026_12_01"), ("2026_12_01", None)]


def test_evaluate_takes_what_was_interpolated_then(
    distbp: Distbp, launched: Launched, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["seed=${hydra:job.num}", "data.path=${oc.env:DATA}", "optimizer.lr=${oc.env:RATE}"]
    told = {"overrides": words, "seed": 3, "data": {"path": "it's a \\ here"}, "optimizer": {"lr": 1e-05}}
    monkeypatch.setattr(shelf, "configuration_of", lambda *_: told)
    assert distbp("evaluate", "resume=there").code == 0
    ((_, request),) = launched.jobs
    assert (request.seed, request.data.path, request.optimizer["lr"]) == (3, "it's a \\ here", 1e-05)


def test_evaluate_shows_the_configuration_of_the_run(distbp: Distbp, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shelf, "configuration_of", lambda *_: {"overrides": ["batch_size=77"]})
    answer = distbp("evaluate", "resume=there", "--cfg", "job")
    assert answer.code == 0
    assert "batch_size: 77" in answer.out


def test_a_checkpoint_cannot_say_what_is_called(distbp: Distbp, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shelf, "configuration_of", lambda *_: {"overrides": ["optimizer._target_=os.system"]})
    answer = distbp("evaluate", "resume=there")
    assert answer.code == 2
    assert answer.err.startswith("distbp: error: optimizer._target_=os.system: ")


ENDS = [
    (RequestError("data.path", "x", "a file"), 2, "distbp: error: data.path=x: a file\n"),
    (JobError("worker lost", rank=1, step=5, phase="reduce"), 3, "distbp: error: rank 1 failed at step 5 in phase "),
    (KeyboardInterrupt(), 130, ""),
    (SystemExit(143), 143, ""),
]


@pytest.mark.parametrize("options", [[], ["-m"]], ids=["alone", "multirun"])
@pytest.mark.parametrize(("error", "code", "line"), ENDS, ids=["request", "job", "interrupt", "terminated"])
def test_how_a_job_ends_is_how_the_command_ends(  # noqa: PLR0917 - pytest gives its arguments by name
    distbp: Distbp, monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int, line: str, options: list[str]
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(launcher, "run", fail)
    answer = distbp(*options, "seed=1")
    assert answer.code == code
    assert answer.err.startswith(line)
    assert answer.err.count("\n") == bool(line)


def test_a_reader_that_leaves_is_no_error(launched: Launched, monkeypatch: pytest.MonkeyPatch, capfd: object) -> None:
    read, write = os.pipe()
    os.close(read)
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(os.fdopen(write, "wb")))
    assert cli.main(["--help"]) == 128 + 13


@pytest.mark.parametrize(("argv", "code"), [(["seed=1"], 0), (["sed=1"], 2), (["--help"], 0)])
def test_rank_0_speaks_and_tells_the_others_how_it_ended(
    distbp: Distbp, launched: Launched, monkeypatch: pytest.MonkeyPatch, argv: list[str], code: int
) -> None:
    monkeypatch.setattr(World, "detect", lambda: World("mpirun", 0, 2, 0, 2))
    assert distbp(*argv).code == code
    assert launched.finished == [code]


@pytest.mark.parametrize("argv", [["seed=1"], ["sed=1"], ["--help"], ["trian"]])
def test_the_other_ranks_follow_in_silence(
    distbp: Distbp, launched: Launched, monkeypatch: pytest.MonkeyPatch, argv: list[str]
) -> None:
    monkeypatch.setattr(World, "detect", lambda: World("mpirun", 1, 2, 1, 2))
    answer = distbp(*argv)
    assert (answer.code, answer.out, answer.err) == (7, "", "")
    assert not launched.jobs
    assert not launched.finished
