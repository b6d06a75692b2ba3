"""What is wrong with a file of the user's, as the one line that he sees."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from distbp.errors import RequestError, ToldError


class BadFileError(ToldError):
    """What is wrong with a file, and in which row."""


@contextmanager
def read_whole(path: str | Path) -> Iterator[Path]:
    """The file of this name, to be read within; whatever goes wrong there is a RequestError of data.path."""
    try:
        file = Path(path).expanduser()
        if file.exists() and not file.is_file():  # a directory; or a pipe or device, which might never end
            raise BadFileError("a file is expected, not a directory or device")
        yield file
    except BadFileError as error:
        raise RequestError("data.path", path, str(error)) from None
    except FileNotFoundError:
        raise RequestError("data.path", path, "no such file") from None
    except (OSError, RuntimeError) as error:  # RuntimeError: ~ of a user without a home
        raise RequestError("data.path", path, f"a file that can be read is needed ({error})") from None


def shown(field: str) -> str:
    """A field as one short word of ASCII."""
    return ascii(field[:20]) + ("..." if len(field) > 20 else "")
