"""``distbp check`` as a user types it, and what it says of a fault."""

import os
import subprocess
from pathlib import Path

import pytest

from distbp import checking
from distbp.check.check import LAWS
from distbp.comm.local import LocalCommunicator
from distbp.errors import JobError
from distbp.maps.linear import Linear
from distbp.schema import Request
from tests.cli.conftest import Distbp, Launched, distbp, here, launched
from tests.warm import python

__all__ = ["distbp", "here", "launched"]  # fixtures


def run(folder: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    command = [python(), "-m", "distbp", *words]
    return subprocess.run(
        command, cwd=folder, env=dict(os.environ), capture_output=True, text=True, timeout=100, check=False
    )


@pytest.fixture
def request_(distbp: Distbp, launched: Launched) -> Request:
    """What ``distbp check batch_size=8`` asks for."""
    assert distbp("check", "batch_size=8").code == 0
    assert launched.jobs[0][0] == "check"
    return launched.request


def test_two_workers_hold_every_law(tmp_path: Path) -> None:
    done = run(tmp_path, "check", "workers=2", "batch_size=8", "output=laws.txt")
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    text = (tmp_path / "laws.txt").read_text()
    assert "!" not in text
    worst = text.rpartition("\n\n")[2].splitlines()
    assert {line.split()[0] for line in worst[1:]} == LAWS.keys() - {"runs", "turn", "buffer"}


def test_a_program_that_casts_is_held_to_autocast(here: Distbp, tmp_path: Path) -> None:
    answer = here("check", "precision=bf16", "batch_size=8", "output=laws.txt")
    assert (answer.code, answer.out) == (0, ""), answer.err
    text = (tmp_path / "laws.txt").read_text()
    (rounding,) = (line.split() for line in text.splitlines() if line.startswith("rounding "))
    assert 1e-3 < float(rounding[1]) < float(rounding[2])


def test_the_first_bad_layer_is_named(
    request_: Request, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Linear, "vjp", staticmethod(lambda s, d: (d @ s[1], d.t() @ s[0], d.mean(0))))
    with pytest.raises(JobError, match=r"the first bad layer is 1 \(Linear\): linear, tape"):
        checking.checked(request_, LocalCommunicator())
    assert " !" in capsys.readouterr().out


def test_workers_that_sum_something_else_are_seen(request_: Request, monkeypatch: pytest.MonkeyPatch) -> None:
    from distbp.reduction.order import Ordered

    right = Ordered.reduce

    def reduce(self, buckets, present, comm, *, step):
        right(self, buckets, present, comm, step=step)
        if comm.size > 1:
            buckets[0].slots[0].mul_(0.5)

    monkeypatch.setattr(Ordered, "reduce", reduce)
    with pytest.raises(JobError, match=r"the first bad layer is 7 \(Linear\): 7.weight, workers"):
        checking.checked(request_, LocalCommunicator())


def test_autograd_is_what_it_compares_with(here: Distbp) -> None:
    answer = here("check", "engine=autograd")
    assert (answer.code, answer.out, answer.err.count("\n")) == (2, "", 1), answer
    assert answer.err.startswith("distbp: error: engine=autograd: manual is allowed")
