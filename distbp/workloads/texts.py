"""The text of a language model in three: what it is trained on, validated on and tested on."""

from pathlib import Path

from distbp.data.cut import cut
from distbp.data.sources import fetch
from distbp.data.text import read_king_james, read_text
from distbp.workloads.announce import announce

TREEBANK = ("ptb.train.txt", "ptb.valid.txt", "ptb.test.txt")


def texts(path: str | None, cache: str) -> tuple[str, str, str]:
    """The King James Bible or a file, cut by position; or Penn Treebank's three files in a folder."""
    if path is None:
        return cut(read_king_james(fetch("kjv", cache, announce)))
    folder = Path(path).expanduser()
    if not folder.is_dir():
        return cut(read_text(folder))
    training, valid, test = (read_text(folder / name) for name in TREEBANK)
    return training, valid, test
