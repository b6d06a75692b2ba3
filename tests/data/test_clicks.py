"""Clicks in Criteo's format: parsed as Python would, found again by their index, refused with their row."""

from pathlib import Path

import numpy as np
import pytest

from distbp.data import clicks
from distbp.data.clicks import cut, open_clicks
from distbp.errors import RequestError
from tests.workloads.small.recommendation import clicks as written


def expected(line: str) -> tuple[int, list[int], list[int]]:
    label, *fields = line.split("\t")
    return int(label), [int(x or 0) for x in fields[:13]], [int(x, 16) if x else -1 for x in fields[13:]]


@pytest.mark.parametrize("chunk", [300, 5000, 1 << 22])
@pytest.mark.parametrize(("begin", "end"), [("", "\n"), ("", ""), ("\ufeff", "\n")], ids=ascii)
def test_rows_are_those_that_python_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunk: int, begin: str, end: str
) -> None:
    monkeypatch.setattr(clicks, "CHUNK_BYTES", chunk)
    path = written(tmp_path)
    lines = path.read_text().splitlines()
    path.write_text(begin + "\n".join(lines) + end, encoding="utf-8")
    opened = open_clicks(path, tmp_path / "cache")
    assert len(opened) == 60
    for asked in (np.arange(60), np.array([59, 3, 3, 0, 17])):
        rows = opened.rows(asked)
        for k, number in enumerate(asked):
            found = int(rows.labels[k]), rows.numbers[k].tolist(), rows.categories[k].tolist()
            assert found == expected(lines[number])


def test_the_index_is_made_once_for_a_file_and_anew_for_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, cache = written(tmp_path), tmp_path / "cache"
    open_clicks(path, cache)
    assert [file.suffix for file in cache.iterdir()] == [".index"]
    with monkeypatch.context() as patch:
        patch.setattr(clicks, "write_index", None)
        assert len(open_clicks(path, cache)) == 60
    assert len(open_clicks(written(tmp_path, 80), cache)) == 80


BAD = {
    "label 2": (7, 1, "2", "row 7: label '2', 0 or 1 is expected"),
    "no label": (7, 1, "", "row 7: label '', 0 or 1"),
    "label 01": (60, 1, "01", "row 60: label '01'"),
    "a letter": (1, 2, "1e3", "row 1: column 2 is '1e3', a whole number of at most 9 digits"),
    "a fraction": (3, 14, "1.5", "row 3: column 14 is '1.5'"),
    "nan": (3, 5, "nan", "row 3: column 5 is 'nan'"),
    "minus alone": (3, 5, "-", "row 3: column 5 is '-'"),
    "two minus": (3, 5, "--1", "row 3: column 5 is '--1'"),
    "huge": (3, 5, "1234567890", "row 3: column 5 is '1234567890'"),
    "short category": (9, 15, "abc", "row 9: column 15 is 'abc', 8 hexadecimal digits are expected"),
    "long category": (9, 15, "0123456789", "row 9: column 15 is '0123456789'"),
    "no category": (9, 40, "0123456g", "row 9: column 40 is '0123456g'"),
    "one more": (9, 40, "01234567\t1", "row 9: 41 columns; a label, 13 numbers and 26 categories"),
    "two rows": (9, 40, "01234567\n1", "row 10: 1 columns"),
    "carriage return": (9, 40, "01234567\r", "row 9: column 40"),
}  # fmt: skip


@pytest.mark.parametrize("chunk", [300, 1 << 22])
@pytest.mark.parametrize("name", BAD)
def test_a_bad_row_is_refused_and_leaves_no_index(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunk: int, name: str
) -> None:
    monkeypatch.setattr(clicks, "CHUNK_BYTES", chunk)
    row, column, value, message = BAD[name]
    path, cache = written(tmp_path), tmp_path / "cache"
    table = [line.split("\t") for line in path.read_text().splitlines()]
    table[row - 1][column - 1] = value
    path.write_text("\n".join("\t".join(fields) for fields in table) + "\n")
    with pytest.raises(RequestError) as caught:
        open_clicks(path, cache)
    assert caught.value.key == "data.path"
    assert caught.value.allowed.startswith(message)
    assert list(cache.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "an empty file; a label, 13 numbers"),
        ("\n", "row 1: 1 columns"),
        ("0" + "\t" * 39, "no row with label 0 among the last 0 of 1 rows"),
        (("0" + "\t" * 39 + "\n") * 20, "no row with label 1 among the first 18 of 20 rows"),
        (("1" + "\t" * 39 + "\n" + "0" + "\t" * 39 + "\n") + ("0" + "\t" * 39 + "\n") * 20, "label 1 among the last 2"),
        ("x" * 10_000, "a row longer than 4,096 bytes"),
    ],
)
def test_what_is_no_table_of_clicks_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, message: str
) -> None:
    monkeypatch.setattr(clicks, "CHUNK_BYTES", 5000)
    path = tmp_path / "bad"
    path.write_text(text)
    with pytest.raises(RequestError) as caught:
        open_clicks(path, tmp_path)
    assert message in caught.value.allowed


def test_a_cache_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    path = written(tmp_path)
    with pytest.raises(RequestError, match=r"data\.cache"):
        open_clicks(path, path / "cache")


def test_the_last_tenth_is_for_the_test() -> None:
    assert [cut(n) for n in (10, 60, 99)] == [9, 54, 90]
