"""Fashion-MNIST written as a folder of class folders, for those who read such: PNG files in the cache, made once."""

import shutil
from collections.abc import Callable
from pathlib import Path
from tempfile import mkdtemp

from distbp.data.fashion_mnist import FILES, name_of
from distbp.data.formats import Digits
from distbp.data.idx import read_pair
from distbp.data.sources import expanded, fetch, locked
from distbp.errors import RequestError

NAME = "fashion-mnist-png"
CLASSES = ("t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle-boot")


def fashion_folder(cache: str | Path, report: Callable[[str], None]) -> Path:
    """The folder, fetched and written if it is not there; ``report`` is told in a line what takes time."""
    folder = expanded(cache) / NAME
    if folder.exists():
        return folder
    train, train_labels, test, test_labels = (fetch(name_of(file), cache, report) for file in FILES)
    try:
        with locked(folder.with_name(f".{NAME}.lock")):
            if not folder.exists():
                report(f"writing the 70,000 pictures of Fashion-MNIST as PNG files in {folder}")
                write(folder, {"train": read_pair(train, train_labels), "val": read_pair(test, test_labels)})
    except OSError as error:
        raise RequestError("data.cache", cache, f"a folder that can be written ({error.strerror or error})") from None
    return folder


def write(folder: Path, splits: dict[str, Digits]) -> None:
    """``SPLIT/LABEL-CLASS/NUMBER.png`` for each picture; the folder is there when all of it is."""
    from PIL import Image

    unfinished = Path(mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        for split, (pixels, labels) in splits.items():
            names = [unfinished / split / f"{label}-{name}" for label, name in enumerate(CLASSES)]
            for name in names:
                name.mkdir(parents=True)
            for number, (picture, label) in enumerate(zip(pixels, labels, strict=True)):
                Image.fromarray(picture).save(names[label] / f"{number:05}.png")
        unfinished.chmod(0o755)
        unfinished.rename(folder)
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise
