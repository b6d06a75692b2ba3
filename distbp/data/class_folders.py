"""A folder of class folders, the layout of ImageNet: ``train/CLASS/...`` and ``val/CLASS/...``, a picture a file.

The classes are numbered in the order of their names. Names that begin with a dot are passed over; whatever else does
not belong there is refused, and so is a picture that does not decode: all are decoded once, before the first of them is
trained on, and the cache remembers that these files (by name, size and time) are good.
"""

import hashlib
import math
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from distbp.data.bad_file import BadFileError
from distbp.data.picture import ENDINGS, decoded, whole
from distbp.data.readers import Readers
from distbp.data.sources import expanded, locked
from distbp.errors import RequestError

SPLITS = ("train", "val")
LAYOUT = "train/CLASS/PICTURE and val/CLASS/PICTURE are expected"
AT_ONCE = 4096  # pictures that are checked between two looks at what was wrong


class ClassFolder(NamedTuple):
    """One split: n pictures and their classes."""

    folder: Path
    classes: list[str]
    files: list[str]  # (n) names within the folder, CLASS/PICTURE, sorted
    labels: np.ndarray  # (n) int64, places in classes

    def path(self, sample: int) -> Path:
        """The file of a sample."""
        return self.folder / self.files[sample]


def read_class_folders(
    path: str | Path, cache: str | Path, readers: Readers, report: Callable[[str], None]
) -> dict[str, ClassFolder]:
    """The splits of the folder at ``path``, by name. Raises RequestError("data.path", path, file and what is wrong).

    ``report`` is told in a line what takes time.
    """
    try:
        root = Path(path).expanduser()
        splits, digest = {}, hashlib.sha256(str(root.resolve()).encode(errors="surrogateescape"))
        for name in SPLITS:
            splits[name] = scanned(root, name, digest.update)
        compare(splits["train"].classes, splits["val"].classes)
        mark = expanded(cache) / f"{digest.hexdigest()[:16]}-pictures.checked"
        if not mark.exists():
            check(splits, mark, readers, lambda n: report(f"checking {n:,} pictures in {path}, once"))
    except BadFileError as error:
        raise RequestError("data.path", path, str(error)) from None
    except (OSError, RuntimeError) as error:  # RuntimeError: ~ of a user without a home
        raise RequestError("data.path", path, f"a folder that can be read is needed ({error})") from None
    return splits


def scanned(root: Path, split: str, note: Callable[[bytes], object]) -> ClassFolder:
    """The files of one split; ``note`` is told name, size and time of each."""
    folder = root / split
    if not folder.is_dir():
        raise BadFileError(f"there is no folder {split}: {LAYOUT}")
    classes: list[str] = []
    files: list[str] = []
    labels: list[int] = []
    for entry in entries(folder):
        if not entry.is_dir():
            found = kind(entry, "no folder of a class")
            raise BadFileError(f"{split}/{plain(entry.name)} is {found}: {LAYOUT}")
        pictures = entries(Path(entry.path))
        if not pictures:
            raise BadFileError(f"{split}/{plain(entry.name)}: a class without a picture")
        for picture in pictures:
            name = f"{entry.name}/{picture.name}"
            if not (picture.is_file() and picture.name.lower().endswith(ENDINGS)):
                found = kind(picture, f"no file that ends in {', '.join(ENDINGS)}")
                raise BadFileError(f"{split}/{plain(name)} is {found}")
            status = picture.stat()
            note(f"{split}/{name} {status.st_size} {status.st_mtime_ns}\n".encode(errors="surrogateescape"))
            files.append(name)
        labels += [len(classes)] * len(pictures)
        classes.append(entry.name)
    if len(classes) < 2:
        raise BadFileError(f"{split}: {len(classes)} classes; two are the least: {LAYOUT}")
    return ClassFolder(folder, classes, files, np.array(labels))


def entries(folder: Path) -> list[os.DirEntry[str]]:
    """What is in a folder, by name, without what is hidden."""
    with os.scandir(folder) as found:
        return sorted((entry for entry in found if not entry.name.startswith(".")), key=lambda entry: entry.name)


def kind(entry: os.DirEntry[str], otherwise: str) -> str:
    """What an entry is that is not what is expected: a link to nothing, or ``otherwise``."""
    return "a link to nothing" if entry.is_symlink() and not Path(entry.path).exists() else otherwise


def compare(training: list[str], validation: list[str]) -> None:
    """Both splits have the same classes."""
    for one, other, ones, others in (("train", "val", training, validation), ("val", "train", validation, training)):
        missing = sorted(set(ones) - set(others))
        if missing:
            raise BadFileError(f"{other} has no class {plain(missing[0])}, which {one} has")


def check(splits: dict[str, ClassFolder], mark: Path, readers: Readers, report: Callable[[int], None]) -> None:
    """Decode every picture, and remember in ``mark`` that all are good. Workers of one machine do it once."""
    try:
        mark.parent.mkdir(parents=True, exist_ok=True)
        with locked(mark.with_suffix(".lock"), seconds=math.inf):
            if not mark.exists():
                report(sum(len(split.files) for split in splits.values()))
                for wrong in wrongs(splits, readers):
                    raise BadFileError(wrong)
                mark.touch()
    except OSError as error:
        raise RequestError(
            "data.cache", mark.parent, f"a folder that can be written ({error.strerror or error})"
        ) from None


def wrongs(splits: dict[str, ClassFolder], readers: Readers) -> Iterator[str]:
    """What is wrong with the pictures, each with its name, in order."""
    for split, found in splits.items():
        for begin in range(0, len(found.files), AT_ONCE):
            names = found.files[begin : begin + AT_ONCE]
            complaints = readers.each(complaint, [found.folder / name for name in names])
            for name, wrong in zip(names, complaints, strict=True):
                if wrong:
                    yield f"{split}/{plain(name)}: {wrong}"


def complaint(path: Path) -> str | None:
    """What is wrong with a picture, if anything is."""
    try:
        decoded(path, 1, "L", whole)
    except BadFileError as error:
        return str(error)
    return None


def plain(name: str) -> str:
    """A file's name on one line, whatever its bytes are."""
    return repr(name)[1:-1]
