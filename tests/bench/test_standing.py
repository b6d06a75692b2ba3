"""The arithmetic of a race, on invented figures."""

import pytest

from distbp.bench.standing import HEAD, make_row, summarise, table

INSIDE = {
    "ours": [1.0, 2.0, 4.0],
    "ddp": [3.0, 4.0, 8.0],
    "mpi4py": [1.5, 3.0, 2.0],
    "alone": [1.0, 1.0, 2.0],
    "library": [1.0, 2.0, 2.0],
    "sharded": [2.0, 2.0, 4.0],
    "late": [3.0, 6.0, 4.0],
}
APART = {"threads": [5.0, 6.0, 9.0], "torchrun": [9.0, 3.0, 3.0]}


def test_a_row_among_workers_alone() -> None:
    row = make_row("cnn", INSIDE)
    assert (row["model"], row["ours_ms"], row["ddp_ms"], row["threads_ms"]) == ("cnn", 2.0, 4.0, None)
    assert (row["ddp_inside_ms"], row["ddp_torchrun_ms"], row["threads_ratio"]) == (4.0, None, None)
    assert row["ours_spread_ms"] == 1.5
    assert row["ddp_ratio"] == 2.0  # of 3, 2 and 2: round by round
    assert row["bound"] == 4.0
    assert row["mpi4py_ratio"] == 1.5
    assert row["ordered_ratio"] == 1.0
    assert row["sharded_ratio"] == 1.0
    assert row["overlap_ratio"] == 1.0


def test_the_better_one_counts_and_other_processes_are_compared_by_medians() -> None:
    row = make_row("cnn", {**INSIDE, **APART})
    assert (row["ddp_ms"], row["ddp_inside_ms"], row["ddp_torchrun_ms"]) == (3.0, 4.0, 3.0)
    assert (row["ddp_ratio"], row["bound"], row["threads_ratio"]) == (1.5, 3.0, 3.0)
    assert row["overlap_ratio"] == 1.0  # of the two in the same processes
    slower = make_row("cnn", {**INSIDE, "torchrun": [9.0, 9.0, 3.0]})
    assert (slower["ddp_ms"], slower["ddp_ratio"]) == (4.0, 2.0)


def test_means_are_of_the_rows_that_have_a_figure() -> None:
    rows = [make_row("cnn", INSIDE), make_row("neumf", {**INSIDE, **APART})]
    summary = summarise(rows)
    assert summary["geomean_ddp_ratio"] == pytest.approx(3.0**0.5)
    assert summary["geomean_threads_ratio"] == pytest.approx(3.0)
    assert summarise(rows[:1])["geomean_threads_ratio"] is None


def test_the_table_keeps_its_columns() -> None:
    rows = [make_row("gpt_vocab", INSIDE), make_row("cnn", {**INSIDE, **APART})]
    lines = table(rows, summarise(rows)).splitlines()
    assert {len(text) for text in lines[:4]} == {len(HEAD)}
    assert lines[1].split()[4] == "-"
