"""The command line in this process, with a launcher that only remembers what it was asked to run."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from distbp import cli, launcher
from distbp.comm.world import World
from distbp.schema import Request


@dataclass
class Launched:
    """The jobs that reached the launcher, and how the last word to the followers was spoken."""

    jobs: list[tuple[str, Request]] = field(default_factory=list)
    finished: list[int] = field(default_factory=list)
    result: dict[str, Any] = field(default_factory=lambda: {"metrics": {"accuracy": 0.97, "other": 1.0}})

    def run(self, verb: str, request: Request, world: World) -> dict[str, Any]:
        self.jobs.append((verb, request))
        return self.result

    @property
    def request(self) -> Request:
        """The request of the only job."""
        ((_, request),) = self.jobs
        return request


@dataclass(frozen=True)
class Answer:
    """What a command line was answered with."""

    code: int
    out: str
    err: str


Distbp = Callable[..., Answer]


@pytest.fixture
def launched(monkeypatch: pytest.MonkeyPatch) -> Launched:
    record = Launched()
    monkeypatch.setattr(launcher, "run", record.run)
    monkeypatch.setattr(launcher, "finish", lambda world, exit_code: record.finished.append(exit_code))
    monkeypatch.setattr(launcher, "follow", lambda world: 7)
    monkeypatch.setattr(launcher, "enter", lambda world: None)
    return record


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Distbp:
    """``here(*argv)`` in an empty folder, with the job, if it comes to one, in this process."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(logging.getLogger(), "handlers", [])  # --info adds one, for the screen of the moment

    def call(*argv: str) -> Answer:
        code = cli.main(argv)
        captured = capsys.readouterr()
        return Answer(code, captured.out, captured.err)

    return call


@pytest.fixture
def distbp(launched: Launched, here: Distbp) -> Distbp:
    """``distbp(*argv)`` in an empty folder, up to the launcher."""
    return here
