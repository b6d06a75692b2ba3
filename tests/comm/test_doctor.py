"""The doctor answers every question on any machine, and measures with every communicator."""

import sys

import pytest

from distbp import doctor
from distbp.comm.base import Communicator
from distbp.comm.world import World
from tests.pool import Pool

QUESTIONS = {
    "distbp",
    "python",
    "torch",
    "numpy",
    "mpi4py",
    "MPI library",
    "mpirun",
    "GPUs",
    "CPU",
    "memory",
    "/dev/shm",
}


def ask(comm: Communicator) -> list[tuple[str, str]]:
    return doctor.survey(World.detect())


def test_survey_alone() -> None:
    answers = dict(doctor.survey(World()))
    assert answers.keys() >= QUESTIONS
    assert all(answer and "\n" not in answer for answer in answers.values())
    assert answers["launched by"].startswith("none")


def test_survey_of_a_launch(pool: Pool) -> None:
    for answers in pool.run("torch", 2, ask):
        assert dict(answers)["launched by"] == "torchrun, 2 in all, 2 on this machine"


def test_what_is_missing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mpi4py", None)
    assert dict(doctor.survey(World()))["MPI library"].startswith("none: ")
    assert doctor.package("no-such-package") == "not installed"


@pytest.mark.parametrize(("kind", "size"), [("local", 1), ("threads", 2), ("mpi", 2), ("torch", 2)])
def test_measure(pool: Pool, kind: str, size: int) -> None:
    tables = pool.run(kind, size, doctor.measure)
    assert all(table == tables[0] for table in tables), "one table, known to all"
    assert [row["bytes"] for row in tables[0]] == [4096, 1048576, 16777216]
    assert all(row["memcpy_ms"] > 0 and row["all_reduce_ms"] >= 0 for row in tables[0])
