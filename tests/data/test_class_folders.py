"""Folders of class folders: what is read, and what is refused in one line with the file."""

import builtins
import os
import shutil
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import ExifTags, Image

from distbp.data import fashion_folder, fashion_mnist
from distbp.data.bad_file import BadFileError
from distbp.data.class_folders import ClassFolder, read_class_folders
from distbp.data.picture import Box, decoded, require_pillow, whole
from distbp.data.readers import Readers
from distbp.errors import RequestError
from tests.data import idx_files, picture_folders

READERS = Readers(2)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    require_pillow()
    return picture_folders.write(tmp_path / "pictures", train=3, val=2)


def read(folder: Path, said: list[str] | None = None) -> dict[str, ClassFolder]:
    return read_class_folders(folder, folder.parent / "cache", READERS, ([] if said is None else said).append)


def test_classes_and_files_come_in_the_order_of_their_names(folder: Path) -> None:
    (folder / "train" / ".hidden").touch()
    splits = read(folder)
    assert list(splits) == ["train", "val"]
    train = splits["train"]
    assert train.classes == list(picture_folders.CLASSES)
    assert train.files == [f"{name}/{file}" for name in train.classes for file in ("000.png", "001.jpg", "002.png")]
    assert train.labels.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert train.path(4) == folder / "train" / "bee" / "001.jpg"


def test_pictures_are_checked_once_and_again_when_they_change(folder: Path) -> None:
    said: list[str] = []
    read(folder, said)
    read(folder, said)
    assert said == [f"checking 15 pictures in {folder}, once"]
    picture = folder / "val" / "ant" / "000.png"
    picture.write_bytes(picture.read_bytes()[:60])
    with pytest.raises(RequestError, match=r"val/ant/000\.png: a picture that does not decode"):
        read(folder, said)


def enormous(width: int, height: int) -> bytes:
    """A PNG file that announces so many pixels."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(100))) + chunk(b"IEND", b"")


def damaged(path: Path) -> None:
    content = path.read_bytes()
    begin = content.index(b"IDAT") + 8
    path.write_bytes(content[:begin] + bytes(20) + content[begin + 20 :])


def wide_numbers(path: Path) -> None:
    Image.fromarray(np.full((8, 8), 40_000, np.uint16)).save(path)


BAD: dict[str, tuple[Callable[[Path], object], str]] = {
    "no train": (lambda f: shutil.rmtree(f / "train"), "there is no folder train: "),
    "no val": (lambda f: shutil.rmtree(f / "val"), "there is no folder val: "),
    "a file as a split": (lambda f: (shutil.rmtree(f / "val"), (f / "val").touch()), "there is no folder val: "),
    "no folder": (shutil.rmtree, "there is no folder train: "),
    "an empty class": (lambda f: (f / "train" / "dog").mkdir(), "train/dog: a class without a picture"),
    "only hidden files": (
        lambda f: ((f / "train" / "dog").mkdir(), (f / "train" / "dog" / ".x.png").touch()),
        "train/dog: a class without a picture",
    ),
    "a class of train alone": (lambda f: shutil.rmtree(f / "val" / "bee"), "val has no class bee, which train has"),
    "a class of val alone": (lambda f: shutil.rmtree(f / "train" / "cat"), "train has no class cat, which val has"),
    "one class": (
        lambda f: [shutil.rmtree(f / s / c) for s in ("train", "val") for c in ("ant", "bee")],
        "train: 1 classes; two are the least",
    ),
    "a stray file": (lambda f: (f / "train" / "labels.csv").touch(), "train/labels.csv is no folder of a class"),
    "another file": (lambda f: (f / "val" / "ant" / "notes.txt").touch(), "val/ant/notes.txt is no file that ends in"),
    "a folder too deep": (lambda f: (f / "val" / "ant" / "a.png").mkdir(), "val/ant/a.png is no file that ends in"),
    "a pipe": (lambda f: os.mkfifo(f / "val" / "ant" / "a.png"), "val/ant/a.png is no file that ends in"),
    "a broken link": (
        lambda f: (f / "val" / "ant" / "a.png").symlink_to("gone.png"),
        "val/ant/a.png is a link to nothing",
    ),
    "a broken link to a class": (lambda f: (f / "val" / "dog").symlink_to("gone"), "val/dog is a link to nothing: "),
    "a link to text": (
        lambda f: ((f / "notes").touch(), (f / "val" / "ant" / "a").symlink_to(f / "notes")),
        "val/ant/a is no file that ends in",
    ),
    "a name of two lines": (lambda f: (f / "val" / "a\nb").touch(), r"val/a\nb is no folder of a class"),
    "an empty file": (
        lambda f: (f / "val" / "ant" / "a.png").touch(),
        "val/ant/a.png: it is no picture in JPEG or PNG",
    ),
    "text": (
        lambda f: (f / "val" / "ant" / "a.png").write_text("hello"),
        "val/ant/a.png: it is no picture in JPEG or PNG",
    ),
    "another format": (
        lambda f: Image.new("L", (8, 8)).save(f / "val" / "ant" / "a.jpg", format="GIF"),
        "val/ant/a.jpg: it is no picture in JPEG or PNG",
    ),
    "half a JPEG": (
        lambda f: (f / "train" / "bee" / "001.jpg").write_bytes((f / "train" / "bee" / "001.jpg").read_bytes()[:-20]),
        "train/bee/001.jpg: a picture that does not decode",
    ),
    "a PNG with bytes changed": (
        lambda f: damaged(f / "train" / "cat" / "002.png"),
        "train/cat/002.png: a picture that",
    ),
    "a bomb": (
        lambda f: (f / "val" / "cat" / "b.png").write_bytes(enormous(60_000, 60_000)),
        "val/cat/b.png: a picture of more than 89,478,485 pixels",
    ),
    "a lesser bomb": (
        lambda f: (f / "val" / "cat" / "b.png").write_bytes(enormous(10_000, 10_000)),
        "val/cat/b.png: a picture of more than 89,478,485 pixels",
    ),
    "16 bits": (lambda f: wide_numbers(f / "val" / "cat" / "w.png"), "val/cat/w.png: a picture of mode I;16"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_folder_is_refused_in_one_line(folder: Path, name: str) -> None:
    damage, message = BAD[name]
    damage(folder)
    for _ in range(2):  # what is wrong is not remembered as good
        with pytest.raises(RequestError) as caught:
            read(folder)
        assert caught.value.key == "data.path"
        assert caught.value.allowed.startswith(message)
        assert "\n" not in str(caught.value)


def test_a_cache_that_cannot_be_written_is_named(folder: Path) -> None:
    (folder.parent / "cache").touch()
    with pytest.raises(RequestError, match=r"data\.cache"):
        read(folder)


def test_a_home_that_does_not_exist_is_named() -> None:
    with pytest.raises(RequestError, match="a folder that can be read is needed"):
        read_class_folders("~nobody-of-this-name/x", "~", READERS, print)


def test_without_pillow_the_way_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name == "PIL":
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(RequestError, match=r"pip install 'distbp\[images\]'"):
        require_pillow()


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK"])
def test_pictures_of_every_plain_mode_are_read(tmp_path: Path, mode: str) -> None:
    path = tmp_path / f"x.{'jpg' if mode == 'CMYK' else 'png'}"
    Image.new("RGB", (6, 4), (255, 255, 255)).convert(mode).save(path)
    for colours, channels in (("L", 1), ("RGB", 3)):
        square = decoded(path, 5, colours, whole)  # type: ignore[arg-type]
        assert square.shape == (5, 5, channels)
        assert square.min() >= 254


def test_a_part_of_a_picture_is_that_part(tmp_path: Path) -> None:
    pixels = np.arange(60, dtype=np.uint8).reshape(6, 10)
    Image.fromarray(pixels).save(tmp_path / "x.png")
    square = decoded(tmp_path / "x.png", 3, "L", lambda width, height: (width - 4, height - 3, width - 1, height))
    assert np.array_equal(square[:, :, 0], pixels[3:6, 6:9])


@pytest.mark.parametrize("name", ["x.jpg", "x.png"])
def test_a_picture_is_turned_upright_as_its_exif_says(tmp_path: Path, name: str) -> None:
    """Orientation 6: the camera was held so that the right side of what is stored is the bottom of the scene."""
    upright = np.zeros((48, 32), np.uint8)
    upright[:16] = 255
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    Image.fromarray(np.rot90(upright)).save(tmp_path / name, exif=exif)

    def top(width: int, height: int) -> Box:
        assert (width, height) == (32, 48)
        return (0, 0, 32, 32)

    square = decoded(tmp_path / name, 2, "L", top)
    assert np.array_equal(square[:, :, 0] > 127, [[True, True], [False, False]])


def test_damaged_exif_turns_nothing(tmp_path: Path) -> None:
    pixels = np.arange(60, dtype=np.uint8).reshape(6, 10)
    Image.fromarray(pixels).save(tmp_path / "x.png", exif=b"Exif\0\0no TIFF at all")
    assert np.array_equal(decoded(tmp_path / "x.png", 6, "L", lambda *_: (0, 0, 6, 6))[:, :, 0], pixels[:, :6])


@pytest.mark.parametrize("number", [1, 2, 5])
def test_readers_keep_the_order_and_say_the_first_thing_that_is_wrong(number: int) -> None:
    def read_one(item: int) -> int:
        if item in (7, 9):
            raise BadFileError(f"item {item}")
        return item * item

    readers = Readers(number)
    assert readers.each(read_one, range(7)) == [item * item for item in range(7)]
    assert readers.each(read_one, []) == []
    with pytest.raises(BadFileError, match="item 7"):
        readers.each(read_one, range(20))


def test_fashion_mnist_is_written_once_as_such_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, cache = tmp_path / "idx", tmp_path / "cache"
    source.mkdir()
    cache.mkdir()
    idx_files.write(source, training=30, test=20)
    names = {fashion_mnist.name_of(file): source / file.removesuffix(".gz") for file in fashion_mnist.FILES}
    monkeypatch.setattr(fashion_folder, "fetch", lambda name, cache, report: names[name])
    said: list[str] = []
    folder = fashion_folder.fashion_folder(cache, said.append)
    assert fashion_folder.fashion_folder(cache, said.append) == folder
    assert len(said) == 1
    splits = read_class_folders(folder, cache, READERS, said.append)
    assert {name: len(split.files) for name, split in splits.items()} == {"train": 30, "val": 20}
    assert splits["val"].classes[9] == "9-ankle-boot"
    pictures = idx_files.pictures(30, seed=30)
    for sample in (0, 11, 29):
        number = int(Path(splits["train"].files[sample]).stem)
        assert np.array_equal(decoded(splits["train"].path(sample), 28, "L", whole)[:, :, 0], pictures[number])
        assert splits["train"].labels[sample] == number % 10
