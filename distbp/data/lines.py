"""The lines of a text file of the user's, in UTF-8 and of bounded length."""

from collections.abc import Iterator
from typing import BinaryIO

from distbp.data.bad_file import BadFileError


def lines(file: BinaryIO, *, longest: int, expected: str) -> Iterator[str]:
    """The lines with their ends; memory follows the ``longest`` that is allowed, in bytes.

    Raises BadFileError, with the line's number from 1, for one that is longer, or is not UTF-8.
    """
    row = 0
    while line := file.readline(longest + 1):
        row += 1
        if len(line) > longest:
            raise BadFileError(f"row {row}: longer than {longest:,} bytes")
        try:
            yield line.decode()
        except UnicodeDecodeError:
            raise BadFileError(f"row {row}: no text in UTF-8; {expected}") from None
