"""Text: what is read of a file, and which files are refused."""

import os
from pathlib import Path

import pytest

from distbp.data.cut import cut
from distbp.data.text import read_king_james, read_text
from distbp.errors import RequestError


def test_the_text_between_the_quotes_is_read_without_its_marks_and_the_file_is_not_run(tmp_path: Path) -> None:
    path = tmp_path / "bible.py"
    path.write_text('raise SystemExit\nb = ("""\nand darkness [was] upon\nthe deep.\n""", False)\n', encoding="utf-8")
    assert read_king_james(path) == "and darkness was upon\nthe deep.\n"


@pytest.mark.parametrize(
    ("content", "wrong"),
    [
        (b"ab\xff", "byte 2"),
        (b"\xef\xbb\xbfab\xff", "byte 5"),
        (b" \n", "empty"),
        (b"\xef\xbb\xbf", "empty"),
        (None, "no such file"),
    ],
    ids=str,
)
def test_what_is_no_text_is_a_wrong_request(tmp_path: Path, content: bytes | None, wrong: str) -> None:
    path = tmp_path / "text.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(RequestError, match=wrong):
        read_text(path)


def test_what_is_no_file_is_a_wrong_request(tmp_path: Path) -> None:
    """A pipe or a device would be waited for, or read, for ever."""
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path, "/dev/zero"):
        with pytest.raises(RequestError, match="not a directory or device"):
            read_text(path)


def test_a_byte_order_mark_is_not_of_the_text(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("In the \ufeffbeginning\n", encoding="utf-8-sig")
    assert read_text(tmp_path / "text.txt") == "In the \ufeffbeginning\n"


def test_the_cut_loses_nothing_and_is_by_position() -> None:
    text = "".join(chr(97 + i % 26) for i in range(101))
    parts = cut(text)
    assert "".join(parts) == text
    assert [len(part) for part in parts] == [90, 5, 6]
