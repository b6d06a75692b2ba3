"""The table of digits: what is read, and the table of what is refused, each with what the message says."""

import gzip
import os
import pickle
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from distbp.data import formats
from distbp.data.formats import read_digits
from distbp.errors import RequestError

LABELS = np.repeat(np.arange(10), 5)


def table(labels: np.ndarray = LABELS) -> np.ndarray:
    pixels = np.random.default_rng(0).integers(0, 256, (len(labels), 784))
    return np.column_stack([pixels, labels])


def text(rows: np.ndarray, end: str = "\n") -> bytes:
    return "".join(",".join(map(str, row)) + end for row in rows.tolist()).encode()


def changed(row: int, column: int, value: str) -> bytes:
    """The good table with one field of one row (from 1) replaced."""
    lines = text(table()).decode().splitlines()
    fields = lines[row - 1].split(",")
    fields[column - 1] = value
    lines[row - 1] = ",".join(fields)
    return "\n".join(lines).encode() + b"\n"


@pytest.mark.parametrize("chunk", [3200, 10_000, 1 << 20])
@pytest.mark.parametrize("pack", [bytes, gzip.compress, bytes.strip, lambda b: b.replace(b"\n", b"\r\n")])
def test_a_table_is_read_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pack: Callable[[bytes], bytes], chunk: int
) -> None:
    monkeypatch.setattr(formats, "CHUNK_BYTES", chunk)
    path = tmp_path / "digits"
    path.write_bytes(pack(text(table())))
    digits = read_digits(path)
    assert digits.pixels.dtype == np.uint8
    assert np.array_equal(digits.pixels, table()[:, :784].reshape(-1, 28, 28))
    assert np.array_equal(digits.labels, LABELS)


@given(st.lists(st.sampled_from(["0", "7", "00", "07", "42", "99", "000", "100", "255"]), min_size=1, max_size=40))
def test_numbers_of_every_width_are_read(tmp_path_factory: pytest.TempPathFactory, numbers: list[str]) -> None:
    fields = (numbers * 784)[:784]
    path = tmp_path_factory.mktemp("widths") / "digits.csv"
    path.write_text("".join(",".join([*fields, str(label)]) + "\n" for label in LABELS))
    assert read_digits(path).pixels[0].flatten().tolist() == [int(field) for field in fields]


BAD = {
    "empty": (b"", "no rows"),
    "only a newline": (b"\n", "row 1: column 1 is ''"),
    "text": (b"Call me Ishmael. Some years ago\n" * 50, "row 1: column 1 is 'Call me Ishmael. Som'..."),
    "header": (b"label,pixel\n" + text(table()), "row 1: column 1 is 'label'"),
    "PNG": (b"\x89PNG\r\n\x1a\n" + bytes(500), "a PNG picture"),
    "IDX": (b"\x00\x00\x08\x03" + bytes(5000), "an IDX file"),
    "IDX in gzip": (gzip.compress(b"\x00\x00\x08\x03" + bytes(5000)), "an IDX file"),
    "pickle": (pickle.dumps(table()), "a pickle"),
    "zip": (b"PK\x03\x04" + bytes(100), "a zip archive"),
    "binary": (bytes(range(1, 256)) * 100, "row 1: column 1 is '\\x01"),
    "zeros": (bytes(100_000), "row 1: column 1 is '\\x00"),
    "one endless line": (b"1," * (2 << 20), "a line longer than 1,048,576 bytes"),
    "truncated gzip": (gzip.compress(text(table()))[:-5000], "the gzip file is truncated or damaged"),
    "gzip without an end": (gzip.compress(text(table()))[:-8], "the gzip file is truncated or damaged"),
    "damaged gzip": (gzip.compress(text(table()))[:30] + bytes(40), "the gzip file is truncated or damaged"),
    "gzip header only": (b"\x1f\x8b", "the gzip file is truncated or damaged"),
    "truncated text": (text(table())[:-600], "row 50: "),
    "65 columns": (text(table()[:, -65:]), "row 1: 65 columns"),
    "786 columns": (text(np.column_stack([table(), LABELS])), "row 1: 786 columns"),
    "rows of two widths": (text(table()) + text(table()[:1, 1:]), "row 51: 784 columns"),
    "two rows in one": (text(table()).replace(b"\n", b",", 1), "row 1: 1570 columns"),
    "label first": (text(np.column_stack([LABELS, np.zeros((50, 784), int)])), "0 rows have label 1 (the last column)"),
    "pixel of 256": (changed(17, 3, "256"), "row 17: pixel 3 is 256, outside 0 to 255"),
    "pixel of 300": (changed(1, 1, "300"), "row 1: pixel 1 is 300, outside 0 to 255"),
    "pixel of 65536": (changed(2, 784, "65536"), "row 2: pixel 784 is 65536, outside 0 to 255"),
    "pixel of 1007": (changed(2, 784, "1007"), "row 2: pixel 784 is 1007, outside 0 to 255"),
    "label of 1003": (changed(2, 785, "1003"), "row 2: label 1003 is outside 0 to 9"),
    "negative pixel": (changed(17, 3, "-1"), "row 17: column 3 is '-1'"),
    "fraction": (changed(17, 3, "0.5"), "row 17: column 3 is '0.5'"),
    "not a number": (changed(17, 3, "nan"), "row 17: column 3 is 'nan'"),
    "blank": (changed(17, 3, " 7"), "row 17: column 3 is ' 7'"),
    "no pixel": (changed(17, 3, ""), "row 17: column 3 is ''"),
    "label of 12": (changed(17, 785, "12"), "row 17: label 12 is outside 0 to 9"),
    "label of 10": (changed(50, 785, "10"), "row 50: label 10 is outside 0 to 9"),
    "label of 256": (changed(50, 785, "256"), "row 50: label 256 is outside 0 to 9"),
    "no label": (changed(50, 785, ""), "row 50: column 785 is ''"),
    "carriage returns alone": (text(table(), end="\r"), "row 1: column 785 is '0\\r"),
    "a carriage return inside": (changed(17, 785, "3\r4"), "row 17: column 785 is '3\\r4'"),
    "blank line inside": (text(table()[:20]) + b"\n" + text(table()[20:]), "row 21: column 1 is ''"),
    "empty class": (text(table(np.repeat(np.arange(9), 9))), "0 rows have label 9"),
    "rare class": (text(table(LABELS[:-1])), "4 rows have label 9 (the last column); each label needs at least 5"),
    "unicode digits": (changed(3, 2, "\u0663"), "row 3: column 2 is '\\xd9\\xa3'"),
    "byte order mark": (b"\xef\xbb\xbf" + text(table()), "byte order mark"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_table_is_refused_with_its_row(tmp_path: Path, case: str) -> None:
    content, message = BAD[case]
    path = tmp_path / "digits.csv"
    path.write_bytes(content)
    with pytest.raises(RequestError) as refusal:
        read_digits(path)
    line = str(refusal.value)
    assert line.startswith(f"data.path={path}: ")
    assert message in line
    assert "\n" not in line
    assert line.isascii()


@pytest.mark.parametrize("chunk", [3200, 10_000, 100_000])
@pytest.mark.parametrize("row", [1, 2, 17, 50])
def test_a_row_is_named_alike_wherever_the_chunks_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, row: int, chunk: int
) -> None:
    monkeypatch.setattr(formats, "CHUNK_BYTES", chunk)
    path = tmp_path / "digits.csv"
    path.write_bytes(changed(row, 785, "12"))
    with pytest.raises(RequestError, match=f": row {row}: label 12 is outside 0 to 9$"):
        read_digits(path)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("missing.csv", "no such file"),
        (".", "not a directory or device"),
        ("fifo", "not a directory or device"),
        ("/dev/zero", "not a directory or device"),
        ("file/inside", "a file that can be read"),
        ("x" * 5000, "a file that can be read"),
        ("~nobody-of-this-name/x.csv", "a file that can be read"),
    ],
)
def test_a_path_that_is_no_file_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    os.mkfifo("fifo")
    Path("file").touch()
    with pytest.raises(RequestError, match=message) as refusal:
        read_digits(path)
    assert refusal.value.key == "data.path"


def test_a_pickle_is_never_loaded(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[Callable[..., object], tuple[str]]:
            return (Path.touch, (tmp_path / "exploded",))  # type: ignore[return-value]

    path = tmp_path / "digits.csv.gz"
    path.write_bytes(gzip.compress(pickle.dumps(Bomb())))
    with pytest.raises(RequestError):
        read_digits(path)
    assert not (tmp_path / "exploded").exists()


def bomb(line: bytes) -> bytes:
    """A gzip file of 4 GB of ``line``: a few megabytes that decompress a thousandfold."""
    member = gzip.compress(line * ((64 << 20) // len(line)), compresslevel=6)
    return member * 64


@pytest.mark.parametrize("line", [b"0", b"\n", b"0," * 784 + b"0\n"], ids=["one line", "newlines", "good rows"])
def test_a_gzip_bomb_is_refused_in_little_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: bytes) -> None:
    monkeypatch.setattr(formats, "MOST_ROWS", 20_000)
    path = tmp_path / "bomb.csv.gz"
    path.write_bytes(bomb(line))
    tracemalloc.start()
    try:
        with pytest.raises(RequestError):
            read_digits(path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 100 << 20


def test_more_rows_than_the_most_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(formats, "MOST_ROWS", 49)
    path = tmp_path / "digits.csv"
    path.write_bytes(text(table()))
    with pytest.raises(RequestError, match="more than 49 rows"):
        read_digits(path)
