"""Text as it lies in files: one of the user's own, or the King James Bible inside its package."""

import re
from pathlib import Path

from distbp.data.bad_file import BadFileError, read_whole
from distbp.data.lines import BYTE_ORDER_MARK

QUOTES = '"""'
ADDED = re.compile(r"[\[\]]")  # the translators' marks of words that the original does not have


def read_text(path: str | Path) -> str:
    """The text of a UTF-8 file, without a byte order mark.

    Raises RequestError where there is no file, it is empty, or it is not UTF-8.
    """
    with read_whole(path) as file:
        try:
            text = file.read_text(encoding="utf-8").removeprefix(BYTE_ORDER_MARK)
        except UnicodeDecodeError as error:
            raise BadFileError(f"text in UTF-8: byte {error.start} is not") from None
        if not text.strip():
            raise BadFileError("a file with text in it: this one is empty")
        return text


def read_king_james(path: str | Path) -> str:
    """What stands between the triple quotes of the package's file, which is never run, without the marks ``[..]``."""
    _, text, _ = read_text(path).split(QUOTES)
    return ADDED.sub("", text).strip() + "\n"
