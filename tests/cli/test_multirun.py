"""A job for each choice of values: which jobs, in which folders, and what ends them."""

import re
from pathlib import Path
from typing import Any

import pytest

from distbp import launcher
from distbp.comm.world import World
from distbp.errors import JobError
from distbp.schema import Request
from tests.cli.conftest import Distbp, Launched

SWEEPS = [
    (["optimizer.lr=0.1,0.01"], [{"lr": 0.1}, {"lr": 0.01}]),
    (["optimizer.lr=0.1,0.01", "seed=range(0,2)"], [(0.1, 0), (0.1, 1), (0.01, 0), (0.01, 1)]),
    (["optimizer=sgd,adam"], ["sgd", "adam"]),
    (["optimizer=glob(ad*)"], ["adafactor", "adagrad", "adam", "adamw"]),
    (["seed=4"], [4]),
]


@pytest.mark.parametrize(("words", "jobs"), SWEEPS, ids=[" ".join(words) for words, _ in SWEEPS])
def test_every_combination_is_a_job(distbp: Distbp, launched: Launched, words: list[str], jobs: list[object]) -> None:
    answer = distbp("-m", *words)
    assert (answer.code, answer.err) == (0, "")
    assert len(launched.jobs) == len(jobs)
    assert len({request.model_dump_json(exclude={"run_dir"}) for _, request in launched.jobs}) == len(jobs)


def test_jobs_have_a_folder_each_under_the_time_of_the_sweep(distbp: Distbp, launched: Launched) -> None:
    distbp("-m", "seed=0,1,2")
    folders = [Path(str(request.run_dir)) for _, request in launched.jobs]
    assert [folder.name for folder in folders] == ["0", "1", "2"]
    assert len({folder.parent for folder in folders}) == 1
    assert re.fullmatch(r"runs/vision/digits_mlp/\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d", str(folders[0].parent))


def test_a_given_folder_holds_the_jobs(distbp: Distbp, launched: Launched) -> None:
    distbp("-m", "run_dir=here", "seed=0,1")
    assert [request.run_dir for _, request in launched.jobs] == ["here/0", "here/1"]


def test_each_job_knows_its_own_overrides(distbp: Distbp, launched: Launched) -> None:
    distbp("-m", "seed=0,1", "optimizer=sgd")
    assert [request.overrides for _, request in launched.jobs] == [
        ("seed=0", "optimizer=sgd"),
        ("seed=1", "optimizer=sgd"),
    ]


def test_nothing_starts_if_one_job_is_wrong(distbp: Distbp, launched: Launched) -> None:
    assert distbp("-m", "batch_size=8,16,0").code == 2
    assert not launched.jobs


@pytest.mark.parametrize("word", ["seed=range(3,3)", "seed=glob(*)"])
def test_a_sweep_of_no_jobs_is_refused(distbp: Distbp, launched: Launched, word: str) -> None:
    answer = distbp("-m", "steps=1", word)
    assert (answer.code, launched.jobs) == (2, [])
    assert answer.err.startswith(f"distbp: error: -m=steps=1 {word}: ")


def test_the_folder_of_a_sweep_is_given_once(distbp: Distbp, launched: Launched) -> None:
    answer = distbp("-m", "seed=0,1", "hydra.sweep.dir=there", "run_dir=here")
    assert (answer.code, launched.jobs) == (2, [])
    assert answer.err.startswith("distbp: error: hydra.sweep.dir=there: run_dir=here ")


def test_a_job_may_use_its_number(distbp: Distbp, launched: Launched) -> None:
    assert distbp("-m", "seed=5,6", "output=table-${hydra:job.num}").code == 0
    assert [request.output for _, request in launched.jobs] == ["table-0", "table-1"]


def test_a_failing_job_ends_the_sweep(distbp: Distbp, monkeypatch: pytest.MonkeyPatch) -> None:
    seeds = []

    def run(verb: str, request: Request, world: World) -> dict[str, Any]:
        seeds.append(request.seed)
        if request.seed == 1:
            raise JobError("not a number", rank=0, step=3, phase="update")
        return {}

    monkeypatch.setattr(launcher, "run", run)
    answer = distbp("-m", "seed=0,1,2")
    assert answer.code == 3
    assert answer.err == "distbp: error: rank 0 failed at step 3 in phase update: not a number\n"
    assert seeds == [0, 1]


def test_a_folder_that_cannot_be_made_is_named(distbp: Distbp, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    answer = distbp("-m", "run_dir=file", "seed=0,1")
    assert answer.code == 2
    assert answer.err.startswith("distbp: error: run_dir=file")
    assert answer.err.count("\n") == 1
