"""A sweeper that comes as a plugin: it sees the main figure of each job, and what it proposes is checked."""

import subprocess
import sys
from pathlib import Path

SWEEPER = '''
"""Halves the learning rate as long as the figure rises."""

from dataclasses import dataclass

from hydra.core.config_store import ConfigStore
from hydra.core.plugins import Plugins
from hydra.plugins.sweeper import Sweeper


@dataclass
class Config:
    _target_: str = "hydra_plugins.halving.Halving"
    key: str = "optimizer.lr"


ConfigStore.instance().store(group="hydra/sweeper", name="halving", node=Config, provider="halving")


class Halving(Sweeper):
    def __init__(self, key):
        self.key = key

    def setup(self, *, hydra_context, task_function, config):
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments):
        rate, best, number = 0.8, 0.0, 0
        while True:
            (job,) = self.launcher.launch([[*arguments, f"{self.key}={rate}"]], initial_job_idx=number)
            if job.return_value <= best:
                return
            rate, best, number = rate / 2, job.return_value, number + 1
'''

SCRIPT = """
import sys
from distbp import cli, launcher

def run(verb, request, world):
    rate = request.optimizer["lr"]
    print(rate, request.run_dir)
    return {"metrics": {"accuracy": 1 - abs(rate - 0.2), "other": rate}}

launcher.run = run
sys.exit(cli.main(sys.argv[1:]))
"""


def sweep(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    (folder / "hydra_plugins").mkdir(exist_ok=True)
    (folder / "hydra_plugins/halving.py").write_text(SWEEPER)
    (folder / "script.py").write_text(SCRIPT)
    return subprocess.run(
        [sys.executable, "script.py", "-m", "hydra/sweeper=halving", "run_dir=out", *words],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_it_sees_the_main_figure(tmp_path: Path) -> None:
    done = sweep(tmp_path)
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stdout.splitlines() if not line.startswith("job ")]
    assert lines == ["0.8 out/0", "0.4 out/1", "0.2 out/2", "0.1 out/3"]


def test_what_it_proposes_is_checked(tmp_path: Path) -> None:
    done = sweep(tmp_path, "hydra.sweeper.key=optimizer.momentun", "optimizer=sgd")
    assert done.returncode == 2
    assert done.stderr == "distbp: error: optimizer.momentun=0.8: there is no such key; nearest: optimizer.momentum\n"
