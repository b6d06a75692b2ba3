"""Tables of texts with labels: what is read, and the table of what is refused, each with what the message says."""

import pickle
from pathlib import Path

import numpy as np
import pytest

from distbp.data.clothing import read_clothing
from distbp.data.labelled import read_labelled
from distbp.data.sources import fetch
from distbp.data.stratified import stratified
from distbp.errors import RequestError
from tests.data.bad_table import is_refused

HEAD = "text,label\n"
GOOD = "fine,1\n" * 10 + "bad,0\n" * 10
LAYOUTS = {
    "plain": HEAD + GOOD,
    "windows": (HEAD + GOOD).replace("\n", "\r\n"),
    "no last newline": (HEAD + GOOD).rstrip(),
    "byte order mark": "\ufeff" + HEAD + GOOD,
    "byte order mark, quoted": '\ufeff"text","label"\n' + GOOD,
    "other columns, other order": "id,label,text\n" + "7,1,fine\n" * 10 + ",0,bad\n" * 10,
    "quoted": '"text","label"\n' + '"fine","1"\n' * 10 + '"bad","0"\n' * 10,
    "space around": " text , label\n" + "fine, 1\n" * 10 + "bad,0 \n" * 10,
}
BAD: dict[str, tuple[str | bytes, str]] = {
    "empty": ("", "row 1: no column text; CSV in UTF-8 with a header"),
    "blank": ("\n", "row 1: no column text"),
    "no header": (GOOD, "row 1: no column text"),
    "no label": ("text,kind\n" + GOOD, "row 1: no column label"),
    "text twice": ("text,label,text\na,0,b\n", "row 1: more than one column text"),
    "tabs": ("text\tlabel\nfine\t1\n", "row 1: no column text"),
    "header only": (HEAD, "a header and no rows"),
    "short row": (HEAD + "fine,1\nfine\n", "row 3: 1 columns, 2 are expected"),
    "long row": (HEAD + "fine, truly,1\n", "row 2: 3 columns, 2 are expected"),
    "blank row": (HEAD + GOOD + "\n" + GOOD, "row 22: 0 columns"),
    "empty text": (HEAD + "fine,1\n,1\n", "row 3: no text"),
    "blank text": (HEAD + 'fine,1\n" \n ",1\n', "row 3: no text"),
    "empty label": (HEAD + "fine,1\nfine, \n", "row 3: no label"),
    "row after a text of three lines": (HEAD + '"a\nb\nc",1\n,1\n', "row 5: no text"),
    "one class": (HEAD + "fine,1\n" * 20, "all rows have label '1'"),
    "rare class": (HEAD + GOOD + "odd,2\n" * 9, "9 rows have label '2'; each label needs at least 10"),
    "numbers for labels": (HEAD + "".join(f"a,{n}.5\n" for n in range(30)), "1 rows have label '0.5'"),
    "open quote": (HEAD + 'fine,1\n"fine,1\n', "row 3: no CSV (unexpected end of data)"),
    "text after a quote": (HEAD + '"fine" very,1\n', "row 2: no CSV (',' expected after '\"')"),
    "huge field": (HEAD + '"' + "word word\n" * 120_000 + '",1\n', "row 2: no CSV (field larger than field limit"),
    "huge line": (HEAD + "x" * 1_100_000 + ",1\n", "row 2: longer than 1,048,576 bytes"),
    "latin-1": ((HEAD + "caf\u00e9,1\n").encode("latin-1"), "row 2: no text in UTF-8"),
    "UTF-16": ((HEAD + GOOD).encode("utf-16"), "row 1: no text in UTF-8"),
    "pickle": (pickle.dumps(list(range(1000))), "row 1: no text in UTF-8"),
    "PNG": (b"\x89PNG\r\n\x1a\n" + bytes(500), "row 1: no text in UTF-8"),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_table_is_read_as_it_is(tmp_path: Path, layout: str) -> None:
    (tmp_path / "table.csv").write_bytes(LAYOUTS[layout].encode())
    found = read_labelled(tmp_path / "table.csv")
    assert found.texts == ["fine"] * 10 + ["bad"] * 10
    assert found.labels.tolist() == [1] * 10 + [0] * 10
    assert found.classes == ["0", "1"]


def test_fields_in_quotes_hold_commas_quotes_lines_and_any_sign(tmp_path: Path) -> None:
    told = 'Well, "fine" it is:\nna\u00efve, \u65e5\u672c\u8a9e \U0001f600'
    quoted = told.replace('"', '""')
    (tmp_path / "table.csv").write_text(HEAD + f'"{quoted}",good\n' * 10 + GOOD.replace(",0", ",bad"), encoding="utf-8")
    found = read_labelled(tmp_path / "table.csv")
    assert found.texts[:10] == [told] * 10


@pytest.mark.parametrize("told", ["x" * 1_000_000, "word word\n" * 100_000], ids=["a line", "many lines"])
def test_a_field_may_be_as_long_as_a_line(tmp_path: Path, told: str) -> None:
    (tmp_path / "table.csv").write_text(HEAD + GOOD + f'"{told}",1\n')
    assert read_labelled(tmp_path / "table.csv").texts[-1] == told


@pytest.mark.parametrize(
    ("names", "expected"),
    [(["10", "9", "-1"], ["-1", "9", "10"]), (["good", "bad", "9"], ["9", "bad", "good"]), (["01", "1"], ["01", "1"])],
    ids=str,
)
def test_classes_stand_in_the_order_of_numbers_or_names(tmp_path: Path, names: list[str], expected: list[str]) -> None:
    (tmp_path / "table.csv").write_text(HEAD + "".join(f"a,{name}\n" for name in names) * 10)
    found = read_labelled(tmp_path / "table.csv")
    assert found.classes == expected
    assert [found.classes[label] for label in found.labels] == names * 10


@pytest.mark.parametrize("name", BAD)
def test_what_is_wrong_is_refused_with_its_row(tmp_path: Path, name: str) -> None:
    assert is_refused(read_labelled, tmp_path / "bad.csv", *BAD[name]).isascii()


@pytest.mark.parametrize(("path", "message"), [("missing", "no such file"), (".", "not a directory or device")])
def test_what_is_no_file_is_refused(tmp_path: Path, path: str, message: str) -> None:
    with pytest.raises(RequestError, match=message):
        read_labelled(tmp_path / path)


def test_the_real_reviews_arrive(tmp_path: Path) -> None:
    found = read_clothing(fetch("clothing", tmp_path, print))
    assert np.bincount(found.labels).tolist() == [4_101, 18_540]
    assert found.texts[0] == "Absolutely wonderful - silky and sexy and comfortable"
    training, test = stratified(found.labels)
    assert (len(training), len(test)) == (18_113, 4_528)
