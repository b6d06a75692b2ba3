"""The lines of a text file of the user's, in UTF-8 and of bounded length."""

from collections.abc import Iterator
from typing import BinaryIO

from distbp.data.bad_file import BadFileError

BYTE_ORDER_MARK = "\ufeff"  # Windows' programs begin a text in UTF-8 with it


def lines(file: BinaryIO, *, longest: int, expected: str) -> Iterator[str]:
    """The lines with their ends, without a byte order mark; memory follows the ``longest`` that is allowed, in bytes.

    Raises BadFileError, with the line's number from 1, for one that is longer, or is not UTF-8.
    """
    row = 0
    while line := file.readline(longest + 1):
        row += 1
        if len(line) > longest:
            raise BadFileError(f"row {row}: longer than {longest:,} bytes")
        try:
            text = line.decode()
        except UnicodeDecodeError:
            raise BadFileError(f"row {row}: no text in UTF-8; {expected}") from None
        yield text.removeprefix(BYTE_ORDER_MARK) if row == 1 else text
