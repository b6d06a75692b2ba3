"""The job whose bits do not depend on who started it, alone and as a sweep over both engines."""

import json

from tests.launch.start import Run, command

REQUEST = {"shards": 4, "seed": 0, "steps": 60, "evaluate.every": "never"}
ENGINES = ("manual", "autograd")


def overrides(folder, **others):
    return [f"{key}={value}" for key, value in {**REQUEST, **others, "run_dir": folder}.items()]


def sweep(folder, launcher, size):
    """A multirun over the engines: the result of each, from the one directory that its job has."""
    run = Run(command(launcher, size, "-m", f"engine={','.join(ENGINES)}", *overrides(folder)))
    assert run.wait() == 0, run.stderr
    results = {path.relative_to(folder): json.loads(path.read_text()) for path in folder.rglob("result.json")}
    assert sorted(map(str, results)) == ["0/result.json", "1/result.json"]
    return {result["engine"]: result for result in results.values()}
