"""The documentation says what is so: its examples run, its files exist, its commands are those of the house."""

import doctest
import re
import shlex
import subprocess
from pathlib import Path

import pytest
from rich.console import Console

from distbp import config, job
from distbp.arguments import VERBS, Arguments
from distbp.comm.local import LocalCommunicator
from tests.launch.start import ROOT, Run, under
from tests.warm import python

PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
README = (ROOT / "README.md").read_text()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_examples_in_a_page_give_what_they_say(page):
    result = doctest.testfile(str(page), module_relative=False, optionflags=doctest.NORMALIZE_WHITESPACE)
    assert result.failed == 0
    assert result.attempted > 0 or ">>>" not in page.read_text()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_that_a_page_names_are_there(page):
    named = re.findall(r"`((?:docs|launch|tests|distbp|conf)/[\w./]*\w)`", page.read_text())
    assert [name for name in named if not (ROOT / name).exists()] == []


RECIPES = re.findall(r"^distbp (.*)$", (ROOT / "docs" / "recipes.md").read_text(), flags=re.MULTILINE)


@pytest.mark.parametrize("words", RECIPES)
def test_a_recipe_is_a_right_request(words):
    config.request(*Arguments.parse(shlex.split(words)).overrides)


def test_the_whole_recipe_trains(tmp_path):
    overrides = Arguments.parse(shlex.split(RECIPES[-1])).overrides
    request = config.request(*overrides, "steps=21", f"run_dir={tmp_path / 'run'}")
    result = job.train(request, LocalCommunicator(), Console(quiet=True))
    assert result["best"]["of"] == "max:accuracy"
    assert result["ended"] == "all steps are done"


def readme_loop(folder):
    (code,) = re.findall(r"```python\n(import torch\n.*?)```", README, flags=re.DOTALL)
    path = folder / "loop.py"
    path.write_text(code)
    return str(path)


@pytest.mark.parametrize("launcher", ["alone", "mpirun", "torchrun"])
def test_the_loop_of_the_readme_runs_wherever_it_is_started(tmp_path, launcher):
    run = Run([*under(launcher, 2, python()), readme_loop(tmp_path)])
    assert run.wait() == 0, run.stderr
    losses = {float(loss) for loss in re.findall(r"rank \d: loss (\d\.\d+)", run.stdout)}
    assert len(losses) == 1  # the mean over all workers, on each of them
    assert "def backward" in run.stdout


def test_the_readme_tells_of_every_verb_and_workload():
    assert all(f"| `{verb}` |" in README for verb in VERBS)
    workloads = ROOT / "conf" / "workload"
    names = [path.relative_to(workloads).with_suffix("").as_posix() for path in workloads.rglob("*.yaml")]
    assert all(f"| `{name}` |" in README for name in names)


@pytest.mark.parametrize("script", sorted((ROOT / "launch").iterdir()), ids=lambda path: path.name)
def test_scripts_are_short_and_parse(script):
    lines = script.read_text().splitlines()
    assert len(lines) < 30
    assert lines[0].startswith("#")
    subprocess.run(["bash", "-n", str(script)], check=True)


def test_the_readme_s_commands_are_what_ci_runs():
    block = re.search(r"```bash\n(.*?)```", README.split("## Two commands")[1], flags=re.DOTALL)
    commands = block[1].split("\n")[:-1]
    ci = (ROOT / ".ci" / "run").read_text().splitlines()
    assert commands == ["launch/train.sh", "launch/test.sh"]
    assert all(command in ci for command in commands)


def test_nothing_in_the_tree_names_a_machine():
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    homes = re.compile(r"/(home|root|Users)/\w")
    texts = {name: Path(ROOT / name).read_text(errors="ignore") for name in tracked.split() if (ROOT / name).is_file()}
    assert [name for name, text in texts.items() if homes.search(text)] == []
