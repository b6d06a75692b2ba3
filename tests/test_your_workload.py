"""docs/your_workload.md, followed by the letter: its package is installed and trained, its difference applied."""

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from distbp import cli
from tests.launch.start import ROOT, ROOT_MAY, under
from tests.warm import python

PAGE = (ROOT / "docs/your_workload.md").read_text()
FILE = re.compile(r"`(spirals/[\w./]+)`.*?:[^`]*?\n\n```\w+\n(.*?)```", re.DOTALL)


def block(language: str) -> str:
    """The only code of this language."""
    (code,) = re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    return code


def words(line: str) -> list[str]:
    """A command of the page, with the Python of these tests."""
    starts = {"distbp": [python(), "-m", "distbp"], "pip": [sys.executable, "-m", "pip"]}
    first, *rest = shlex.split(line)
    return [*starts[first], *rest]


def run(line: list[str], folder: Path) -> str:
    """What it prints, started in ``folder`` by a user who has installed his package there."""
    paths = os.pathsep.join([str(folder / "installed"), str(ROOT)])
    environment = {**os.environ, **ROOT_MAY, "PYTHONPATH": paths}
    done = subprocess.run(line, cwd=folder, env=environment, text=True, capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the page's package is installed."""
    folder = tmp_path_factory.mktemp("user")
    for name, text in FILE.findall(PAGE):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    install, *_ = block("bash").splitlines()
    apart = ["--quiet", "--no-deps", "--no-build-isolation", f"--target={folder / 'installed'}"]
    run([*words(install), *apart], folder)
    return folder


def test_the_page_has_four_files_and_a_workload_of_about_forty_lines() -> None:
    files = dict(FILE.findall(PAGE))
    assert [Path(name).name for name in files] == [
        "pyproject.toml", "__init__.py", "spirals.yaml", "wide_spirals.yaml",
    ]  # fmt: skip
    code = [line for line in files["spirals/spirals/__init__.py"].splitlines() if line.strip()]
    assert len(code) < 50


def test_one_worker_and_two_train_it_to_the_same_bits(folder: Path) -> None:
    lines = [line for line in block("bash").splitlines() if line.startswith("distbp train workload=spirals")]
    results = []
    for number, line in enumerate(lines):
        run([*words(line), f"run_dir=run{number}"], folder)
        results.append(json.loads((folder / f"run{number}/result.json").read_text()))
    one, two = results
    assert (one["world_size"], two["world_size"]) == (1, 2)
    assert one["weights_sha256"] == two["weights_sha256"]
    assert one["metrics"]["accuracy"] == two["metrics"]["accuracy"] >= 0.97


@pytest.fixture
def distbp(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], int]]:
    """The command line in this process: a process of its own takes seconds to start."""
    monkeypatch.syspath_prepend(str(folder / "installed"))
    monkeypatch.chdir(folder)
    yield lambda line: cli.main(shlex.split(line)[1:])
    sys.modules.pop("spirals", None)


def test_the_other_commands_run(distbp: Callable[[str], int], capfd: pytest.CaptureFixture[str]) -> None:
    for line in block("bash").splitlines()[3:]:
        assert distbp(line) == 0, capfd.readouterr().err


def test_its_settings_are_in_the_help(distbp: Callable[[str], int], capsys: pytest.CaptureFixture[str]) -> None:
    assert distbp("distbp --help") == 0
    told = capsys.readouterr().out
    assert "spirals: units of each hidden layer" in told
    assert "wide_spirals" in told


def test_what_is_wrong_is_refused_in_one_line(distbp: Callable[[str], int], capsys: pytest.CaptureFixture[str]) -> None:
    assert distbp("distbp train workload=spirals workload.units=0") == 2
    assert capsys.readouterr().err in PAGE
    Path("bad.csv").write_text("0.5,0.5,2\n")
    assert distbp("distbp train workload=spirals data.path=bad.csv") == 2
    expected = "distbp: error: data.path=bad.csv: rows of x, y and a label, 0 or 1, are expected\n"
    assert capsys.readouterr().err == expected


def test_the_difference_is_all_there_is_to_a_loop_of_ones_own(folder: Path) -> None:
    for name, sign in (("plain", "-"), ("loop", "+")):
        kept = [line[1:] for line in block("diff").splitlines() if not line or line[0] in f" {sign}"]
        (folder / f"{name}.py").write_text("\n".join(kept))
    plain = run([python(), "plain.py"], folder)
    parallel = run([*under("mpirun", 2, python()), "loop.py"], folder)
    losses = re.findall(r"rank \d: (loss \d\.\d+\n)", parallel)
    assert losses == [plain, plain]


def test_the_difference_adds_five_lines() -> None:
    assert len(re.findall(r"^\+", block("diff"), re.MULTILINE)) == 5
