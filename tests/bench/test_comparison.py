"""The arithmetic of the comparison, on invented figures and invented clocks."""

import pytest
import torch

from distbp.bench import rounds
from distbp.bench.engines import closing, line, make_row, summarise
from distbp.bench.memory import Memory, size

PEAKS = {
    "manual": Memory(held=10, peak=30, resident=None),
    "autograd": Memory(held=10, peak=60, resident=70),
}
TIMES = {"manual": [1.0, 2.0, 4.0], "autograd": [2.0, 3.0, 4.0]}


def test_a_row() -> None:
    row = make_row("cnn", 2, TIMES, PEAKS)
    assert (row["model"], row["threads"]) == ("cnn", 2)
    assert (row["manual_ms"], row["autograd_ms"], row["compile_ms"]) == (2.0, 3.0, None)
    assert row["ratio"] == 1.5  # of 2, 1.5 and 1: round by round, not the ratio of the medians by chance
    assert (row["manual_spread_ms"], row["autograd_spread_ms"]) == (1.5, 1.0)
    assert row["memory_ratio"] == 0.5
    assert row["compile_ratio"] is None
    assert row["memory_bytes"]["manual"] == {"held": 10, "peak": 30, "resident": None}


def test_a_ratio_is_formed_within_its_round() -> None:
    """A machine that is twice as slow in one round changes no ratio."""
    steady = make_row("cnn", 1, {"manual": [1.0, 1.0, 1.0], "autograd": [1.5, 1.5, 1.5]}, PEAKS)
    moody = make_row("cnn", 1, {"manual": [1.0, 2.0, 9.0], "autograd": [1.5, 3.0, 13.5]}, PEAKS)
    assert steady["ratio"] == moody["ratio"] == 1.5
    assert moody["ratio_spread"] == 0.0


def test_torch_compile_is_compared_with_autograd() -> None:
    row = make_row("cnn", 1, {**TIMES, "compile": [1.0, 1.0, 1.0]}, PEAKS)
    assert (row["compile_ms"], row["compile_ratio"], row["compile_spread_ms"]) == (1.0, 3.0, 0.0)


def test_fp32_is_compared_with_the_manual_engine() -> None:
    row = make_row("cnn", 1, {**TIMES, "fp32": [3.0, 4.0, 4.0]}, PEAKS)
    assert (row["fp32_ms"], row["fp32_ratio"]) == (4.0, 2.0)
    assert summarise([row])["geomean_fp32_ratio"] == pytest.approx(2.0)


def test_the_summary() -> None:
    rows = [make_row("a", 1, {"manual": [1.0] * 3, "autograd": [fast] * 3}, PEAKS) for fast in (1.0, 4.0)]
    rows[1] |= {"memory_ratio": 2.0, "compile_ratio": 1.25}
    assert summarise(rows) == {
        "geomean_ratio": pytest.approx(2.0),
        "geomean_memory_ratio": pytest.approx(1.0),
        "geomean_compile_ratio": pytest.approx(1.25),
        "geomean_fp32_ratio": None,
    }
    assert summarise(rows[:1])["geomean_compile_ratio"] is None


def test_the_table_keeps_its_columns() -> None:
    with_compile = make_row("gpt_vocab", 16, {**TIMES, "compile": [1.0, 1.0, 1.0]}, PEAKS)
    rows = [make_row("cnn", 1, TIMES, PEAKS), with_compile]
    table = [line(row) for row in rows]
    total = closing(summarise(rows)).splitlines()[0]
    assert len({len(text) for text in (*table, total)}) == 1
    assert "2.000 (1.500)" in table[0]
    assert table[0].split()[-4:] == ["1.50", "-", "0.50", "-"]


def test_every_contender_runs_as_often_and_begins_as_often() -> None:
    order: list[str] = []
    steps = {name: lambda name=name: order.append(name) for name in "abc"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rounds, "warm_up", lambda step, settle: 2)
        times = rounds.race(steps, rounds=4)
    assert "".join(order) == "aabbcc" + "bbccaa" + "ccaabb" + "aabbcc"
    assert {name: len(taken) for name, taken in times.items()} == {"a": 4, "b": 4, "c": 4}


@pytest.mark.parametrize(("step_s", "count"), [(0.001, 100), (0.04, 3), (0.06, 2), (0.7, 1)])
def test_a_slice_takes_a_tenth_of_a_second(monkeypatch: pytest.MonkeyPatch, step_s: float, count: int) -> None:
    monkeypatch.setattr(rounds, "seconds", lambda step, number, settle: number * step_s)
    assert rounds.warm_up(lambda: None) == count


def test_the_spread_is_the_interquartile_range() -> None:
    assert rounds.spread([1.0, 2.0, 3.0, 4.0, 100.0]) == 2.0


def test_the_bytes_of_tensors_count_once() -> None:
    x = torch.zeros(100)
    assert size([x, x[10:], x.view(10, 10), torch.zeros(2, dtype=torch.int64)]) == 400 + 16
