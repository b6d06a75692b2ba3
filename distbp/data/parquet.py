"""A table in Apache's format Parquet, which pyarrow reads."""

from pathlib import Path
from typing import Any

from distbp.errors import RequestError


def read_parquet(path: str | Path, name: str) -> Any:
    """The table of the verified file at ``path``, a ``pyarrow.Table``; a ``name`` for the user.

    RequestError where pyarrow is missing.
    """
    try:
        from pyarrow import parquet
    except ImportError:
        way = "pip install 'distbp[tables]', or give a file of your own (data.path=FILE)"
        raise RequestError("data.path", "null", f"{name} is a parquet file, which pyarrow reads; {way}") from None
    return parquet.read_table(path)
