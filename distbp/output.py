"""Where a verb leaves the text that it makes: on the screen, or in the file that ``output`` names."""

import os
from pathlib import Path

from distbp.errors import RequestError


def refuse_unwritable(output: str) -> None:
    """RequestError, before the work is done, for a file that it will not be possible to write."""
    path = Path(output)
    there, folder = path.exists(), path.absolute().parent
    if path.is_dir() or not os.access(path if there else folder, os.W_OK) or not folder.is_dir():
        raise RequestError("output", output, "a file that can be written is needed")


def write(text: str, output: str | None) -> None:
    """Print ``text``, or put it into the file ``output``. RequestError if that cannot be written."""
    if output is None:
        print(text)
        return
    try:
        Path(output).write_text(text + "\n")
    except OSError as error:
        raise RequestError("output", output, f"a file that can be written is needed ({error.strerror})") from error
