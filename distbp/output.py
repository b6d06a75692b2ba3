"""Where a verb leaves the text that it makes: on the screen, or in the file that ``output`` names."""

from pathlib import Path

from distbp.errors import RequestError


def write(text: str, output: str | None) -> None:
    """Print ``text``, or put it into the file ``output``. RequestError if that cannot be written."""
    if output is None:
        print(text)
        return
    try:
        Path(output).write_text(text + "\n")
    except OSError as error:
        raise RequestError("output", output, f"a file that can be written is needed ({error.strerror})") from error
