"""A run goes on with the data that it began with, and what it has learnt is not asked about other words."""

from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from distbp import config, job
from distbp.comm.local import LocalCommunicator
from distbp.errors import RequestError
from distbp.training.trained_on import refuse_other_data, trained_on
from tests.data.counted import Counted
from tests.training.test_evaluation import classified

SMALL = (
    "workload=nlp/classifier", "workload.least=1", "workload.longest=4", "workload.width=4", "workload.hidden=3",
    "batch_size=6", "evaluate.every=never", "threads=1",
)  # fmt: skip
GOOD, WORDS = ("good", "fine"), ("good", "bad", "fine", "poor")


def table(path: Path, *words: str, turned: bool = False) -> str:
    """Texts of one word, each word 6 times more than the one before; good ones are recommendations."""
    rows = [f"{word},{int(word in GOOD)}\n" for k, word in enumerate(words, 1) for _ in range(6 * k)]
    path.write_text("".join(["text,label\n", *(reversed(rows) if turned else rows)]))
    return str(path)


def run(verb: Any, *words: str) -> dict[str, Any]:
    done: dict[str, Any] = verb(config.request(*SMALL, *words), LocalCommunicator(), Console(quiet=True))
    return done


def test_a_run_goes_on_with_its_own_data_alone(tmp_path: Path) -> None:
    at, more = f"data.path={table(tmp_path / 'texts.csv', *WORDS)}", (f"run_dir={tmp_path / 'run'}",)
    run(job.train, at, *more, "steps=1", "epochs=1")
    run(job.train, at, *more, "steps=2", "epochs=1", "resume=latest")
    table(tmp_path / "texts.csv", *WORDS, turned=True)
    with pytest.raises(RequestError, match=r"other data .* in another order; or add resume_allow=\[data.path\]"):
        run(job.train, at, *more, "steps=3", "epochs=1", "resume=latest")
    result = run(job.train, at, *more, "steps=3", "epochs=1", "resume=latest", "resume_allow=[data.path]")
    assert result["steps"] == 3


def test_other_data_are_evaluated_where_words_have_the_same_numbers(tmp_path: Path) -> None:
    at = f"data.path={table(tmp_path / 'texts.csv', *WORDS)}"
    run(job.train, at, f"run_dir={tmp_path / 'run'}", "steps=1", "epochs=1")
    resume = f"resume={tmp_path / 'run'}"
    turned = table(tmp_path / "turned.csv", *WORDS, turned=True)
    assert "accuracy" in run(job.evaluate, f"data.path={turned}", resume)["metrics"]
    other = table(tmp_path / "other.csv", *WORDS[::-1])
    with pytest.raises(RequestError, match="words, classes or ids have other numbers than in those of the run"):
        run(job.evaluate, f"data.path={other}", resume)


@pytest.mark.parametrize(
    ("changes", "same"),
    [
        ({}, True),
        ({"means": lambda means: [mean * (1 + 1e-6) for mean in means]}, True),
        ({"means": lambda means: [mean + 0.1 for mean in means]}, False),
        ({"means": lambda means: means[:-1]}, False),
        ({"means": lambda _: "many"}, False),
        ({"means": lambda means: [None for _ in means]}, False),
        ({"sha256": lambda _: "0"}, True),  # of float numbers, too
        ({"whole": lambda _: "0"}, False),
        ({"samples": lambda n: n + 1}, False),
        ({"names": lambda _: None}, False),
    ],
)
def test_other_roundings_are_no_other_data(changes: dict[str, Any], *, same: bool) -> None:
    now = trained_on(classified(training=Counted(40)))
    assert now["means"]
    then = now | {key: change(now[key]) for key, change in changes.items()}
    if same:
        refuse_other_data(then, now, "latest")
    else:
        with pytest.raises(RequestError, match="resume=latest: the run was trained on other data"):
            refuse_other_data(then, now, "latest")
