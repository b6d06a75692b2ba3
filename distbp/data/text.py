"""Text as it lies in files: one of the user's own, or the King James Bible inside its package."""

import re
from pathlib import Path

from distbp.errors import RequestError

QUOTES = '"""'
ADDED = re.compile(r"[\[\]]")  # the translators' marks of words that the original does not have


def read_text(path: str | Path) -> str:
    """The text of a UTF-8 file. Raises RequestError where there is none, it is empty, or it is not UTF-8."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise RequestError("data.path", path, f"text in UTF-8: byte {error.start} is not") from None
    except (OSError, ValueError) as error:
        raise RequestError("data.path", path, f"a text file that can be read ({error})") from None
    if not text.strip():
        raise RequestError("data.path", path, "a file with text in it: this one is empty")
    return text


def read_king_james(path: str | Path) -> str:
    """What stands between the triple quotes of the package's file, which is never run, without the marks ``[..]``."""
    _, text, _ = read_text(path).split(QUOTES)
    return ADDED.sub("", text).strip() + "\n"
