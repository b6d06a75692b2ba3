"""Wrong requests to the real command, as a process: those that only a job can find out, and the launchers' own."""

import gzip
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace

import pytest

from distbp import cli
from distbp.comm.local import LocalCommunicator
from distbp.data.bad_file import BadFileError
from distbp.errors import JobError
from distbp.worker import alone
from tests.launch.start import crowd, under
from tests.warm import python

SECONDS = 5.0  # within which a wrong request is answered, on a machine that is not busy with something else
AS_ROOT = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
PICTURE = ",".join(["0"] * 784)
TABLE = "".join(f"{PICTURE},{label}\n" for label in list(range(10)) * 5)


def answer(
    command: list[str], folder: Path, environment: Mapping[str, str] | None = None
) -> tuple[int, str, str, float]:
    """Exit code, both outputs, and the seconds that it took."""
    begun = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", *command],
        cwd=folder,
        env={**os.environ, **(environment or {})},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr, time.monotonic() - begun


@pytest.fixture(scope="module", autouse=True)
def _digits() -> None:
    """The default workload's data: a first job would say that it is fetched."""
    assert cli.main(["data", "fetch", "digits"]) == 0


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with one of each thing that is not what was meant."""
    (tmp_path / "held").mkdir()
    (tmp_path / "held/config.yaml").write_text("seed: 0\n")
    (tmp_path / "nothing.csv").write_text("")
    (tmp_path / "text.csv").write_text("It is a truth universally acknowledged\n")
    (tmp_path / "picture.csv").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(100))
    (tmp_path / "cut.csv.gz").write_bytes(gzip.compress(TABLE.encode() * 40)[:-300])
    (tmp_path / "label.csv").write_text(f"{TABLE}{PICTURE},12\n")
    (tmp_path / "narrow.csv").write_text(f"{TABLE}0,1\n")
    (tmp_path / "mpi4py").mkdir()
    (tmp_path / "mpi4py/__init__.py").write_text("raise ImportError('cannot load libmpi.so')\n")
    return tmp_path


NO_MPI = {"PYTHONPATH": "."}  # the folder's mpi4py comes first
MIXED = {
    "OMPI_COMM_WORLD_RANK": "0", "OMPI_COMM_WORLD_SIZE": "2", "OMPI_COMM_WORLD_LOCAL_RANK": "0",
    "OMPI_COMM_WORLD_LOCAL_SIZE": "2", "TORCHELASTIC_RUN_ID": "x", "RANK": "0", "WORLD_SIZE": "2", "LOCAL_RANK": "0",
    "LOCAL_WORLD_SIZE": "2",
}  # fmt: skip

WRONG: list[tuple[str, Mapping[str, str], str, str]] = [
    ("lrr=1", {}, "lrr=1", "nearest: optimizer.lr"),
    ("optimizer.lr=-1", {}, "optimizer.lr=-1", "greater than 0"),
    ("trian", {}, "verb=trian", "nearest: train"),
    ("optimizer._target_=torch.load", {}, "optimizer._target_=torch.load", "YAML files only"),
    ("data.path=label.csv", {}, "data.path=label.csv", "label 12"),
    ("evaluate resume=nowhere", {}, "resume=nowhere", "checkpoint"),
    ("device=cuda", {"CUDA_VISIBLE_DEVICES": ""}, "device=cuda", "cpu"),
    ("comm=mpi", NO_MPI, "comm=mpi", "libmpi"),
    ("seed=1", MIXED, "launcher=mpirun with torchrun", "one of them"),
]
FOUND_BY_THE_JOB = [
    ("run_dir=held", "holds no run"),
    ("run_dir=text.csv/run", "can be written"),
    ("run_dir=/proc/distbp", "can be written"),
    ("data.path=nowhere.csv", "no such file"),
    ("data.path=held", ""),
    ("data.path=nothing.csv", ""),
    ("data.path=text.csv", ""),
    ("data.path=picture.csv", ""),
    ("data.path=cut.csv.gz", ""),
    ("data.path=narrow.csv", ""),
    ("evaluate.split=tset", "nearest: test"),
    ("resume=held", "checkpoint"),
]


@pytest.mark.parametrize(("line", "environment", "begins", "fragment"), WRONG, ids=[row[0] for row in WRONG])
def test_is_refused_soon_in_one_line(
    folder: Path, line: str, environment: Mapping[str, str], begins: str, fragment: str
) -> None:
    code, out, err, seconds = answer(["distbp", *line.split()], folder, environment)
    assert code == 2, err
    assert err.count("\n") == 1, err
    assert err.startswith(f"distbp: error: {begins}"), err
    assert fragment in err
    assert not out
    assert seconds < SECONDS * crowd()
    assert not (folder / "runs").exists()


@pytest.mark.parametrize(("word", "fragment"), FOUND_BY_THE_JOB, ids=[word for word, _ in FOUND_BY_THE_JOB])
def test_what_the_job_finds_is_refused_as_soon(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], word: str, fragment: str
) -> None:
    """In this process: what a process of its own takes to start is measured above."""
    monkeypatch.chdir(folder)
    begun = time.monotonic()
    assert cli.main([word, "comm=local"]) == 2
    assert time.monotonic() - begun < SECONDS * crowd()
    out, err = capfd.readouterr()
    assert err.count("\n") == 1, err
    assert err.startswith(f"distbp: error: {word}"), err
    assert fragment in err
    assert not out
    assert not (folder / "runs").exists()


def test_a_full_disk_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1000))
    assert cli.main(["run_dir=full", "comm=local"]) == 2
    err = capsys.readouterr().err
    assert err.startswith("distbp: error: run_dir=full: ")
    assert err.count("\n") == 1
    assert "of space are needed for checkpoints, 0.0 MiB are free" in err


AGAIN = pytest.mark.long  # what the other launcher's ranks have been asked already
TOGETHER = [
    pytest.param("mpirun", "optimizer.lr=-1", "optimizer.lr=-1", marks=AGAIN),
    ("torchrun", "optimizer.lr=-1", "optimizer.lr=-1"),
    ("mpirun", "workers=3", "workers=3"),
    pytest.param("torchrun", "workers=3", "workers=3", marks=AGAIN),
    ("torchrun", "comm=mpi", "comm=mpi"),
    ("mpirun", "comm=local", "comm=local"),
    ("mpirun", "shards=1", "workers=2"),
    ("mpirun", "data.path=nowhere.csv", "data.path=nowhere.csv"),
]


@pytest.mark.parametrize(("launcher", "word", "begins"), TOGETHER)
def test_many_ranks_refuse_with_one_voice(tmp_path: Path, launcher: str, word: str, begins: str) -> None:
    done = subprocess.run(
        [*under(launcher, 2, python()), "-m", "distbp", word],
        cwd=tmp_path,
        env={**os.environ, **AS_ROOT},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    ours = [line for line in (done.stderr + done.stdout).splitlines() if line.startswith("distbp: ")]
    assert done.returncode != 0
    assert len(ours) == 1, done.stderr
    assert ours[0].startswith(f"distbp: error: {begins}")
    assert "distbp/cli.py" not in done.stderr  # torchrun adds a traceback, of its own
    assert not (tmp_path / "runs").exists()


def test_help_may_be_cut_short(tmp_path: Path) -> None:
    done = subprocess.run(
        f"set -o pipefail; {sys.executable} -m distbp --help | head -1",
        shell=True,
        executable="/bin/bash",
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.stdout == "distbp VERB key=value ...\n"
    assert done.stderr == ""


def test_a_loss_that_is_no_number_ends_the_job(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    assert cli.main(["optimizer=sgd", "optimizer.lr=1e30", "run_dir=exploded", "comm=local"]) == 3
    err = capfd.readouterr().err
    assert "distbp: error: rank 0 failed at step" in err
    assert "the loss is" in err


def test_what_is_raised_where_one_worker_is_alone_ends_the_job_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """StopIteration, too, which a context manager of contextlib would take for its own."""
    for error in (StopIteration(), ValueError("boom")):
        with pytest.raises(JobError, match=type(error).__name__), alone(LocalCommunicator(), print):
            raise error
        assert "Traceback" in capsys.readouterr().err


def test_what_is_wrong_with_a_file_is_told_without_a_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(JobError, match="in phase start: the picture is cut"), alone(LocalCommunicator(), print):
        raise BadFileError("the picture is cut")
    assert not capsys.readouterr().err


def test_ranks_that_do_not_find_each_other_are_refused(folder: Path) -> None:
    names = ("RANK", "SIZE", "LOCAL_RANK", "LOCAL_SIZE")
    two = dict(zip((f"OMPI_COMM_WORLD_{name}" for name in names), ("0", "2", "0", "2"), strict=True))
    code, _, err, _ = answer(["distbp", "steps=2"], folder, two)
    assert code == 2
    assert err.startswith("distbp: error: ")
    assert err.count("\n") == 1
