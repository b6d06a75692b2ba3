"""What every reader of a user's table owes to one that is wrong."""

from collections.abc import Callable
from pathlib import Path

import pytest

from distbp.errors import RequestError


def is_refused(read: Callable[[Path], object], path: Path, content: str | bytes, message: str) -> str:
    """A table of this content is, in one line that names the file and begins with ``message``. The line."""
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(RequestError) as caught:
        read(path)
    assert (caught.value.key, caught.value.value) == ("data.path", path)
    assert caught.value.allowed.startswith(message)
    assert "\n" not in str(caught.value)
    return str(caught.value)
