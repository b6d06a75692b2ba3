"""IDX files: what is read, and the table of what is refused, each with what the message says."""

import gzip
import struct
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from distbp.data.idx import read_idx
from distbp.errors import RequestError
from tests.data.idx_files import idx, labels, pictures, write

TRAIN, TRAIN_LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"
TEST, TEST_LABELS = "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_four_files_are_read_as_they_are(tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:
    training, test = read_idx(write(tmp_path, 30, 20, pack))
    for digits, n in ((training, 30), (test, 20)):
        assert np.array_equal(digits.pixels, pictures(n, seed=n))
        assert np.array_equal(digits.labels, labels(n))


def header(*numbers: int) -> bytes:
    return struct.pack(f">{len(numbers)}I", *numbers)


def with_label(number: int, label: int) -> bytes:
    changed = labels(60)
    changed[number - 1] = label
    return idx(changed)


BAD = {
    "no file": (TEST, None, "t10k-images-idx3-ubyte or t10k-images-idx3-ubyte.gz is expected in the folder, and none"),
    "two files": (f"{TRAIN}.gz", b"", "and both are there"),
    "empty": (TRAIN, b"", "train-images-idx3-ubyte: 0 bytes are no IDX header"),
    "half a header": (TRAIN, idx(pictures(60))[:10], "10 bytes are no IDX header"),
    "labels for pictures": (TRAIN, idx(labels(60)), "its magic number is 0x00000801, 0x00000803 is expected"),
    "pictures for labels": (TRAIN_LABELS, idx(pictures(60)), "its magic number is 0x00000803, 0x00000801 is expected"),
    "floats": (TRAIN, header(0xD03, 60, 28, 28) + bytes(4 * 60 * 784), "its magic number is 0x00000d03"),
    "little-endian": (TRAIN, struct.pack("<4I", 0x803, 60, 28, 28) + bytes(60 * 784), "its magic number is 0x03080000"),
    "other pictures": (TRAIN, header(0x803, 60, 32, 32) + bytes(60 * 1024), "pictures of 32 x 32, 28 x 28 are"),
    "no pictures": (TRAIN, header(0x803, 0, 28, 28), "announces 0 elements"),
    "a huge header": (TRAIN, header(0x803, 2**32 - 1, 28, 28), "announces 4,294,967,295 elements, 1 to 300,000 are"),
    "huge sides": (TRAIN, header(0x803, 60, 2**32 - 1, 2**32 - 1), "pictures of 4294967295 x 4294967295"),
    "a byte too few": (TRAIN, idx(pictures(60))[:-1], "announces 47,040 bytes of content, the file holds 47,039"),
    "a byte too many": (TRAIN, idx(pictures(60)) + b"\0", "announces 47,040 bytes of content, the file holds more"),
    "more than there is": (TRAIN, header(0x803, 300_000, 28, 28) + bytes(784), "the file holds 784"),
    "truncated gzip": (TRAIN, gzip.compress(idx(pictures(60)))[:-9], "the gzip file is truncated or damaged"),
    "damaged gzip": (
        TRAIN,
        gzip.compress(idx(pictures(60)))[:9000] + bytes(9000),
        "the gzip file is truncated or damaged",
    ),
    "fewer labels": (TRAIN_LABELS, idx(labels(59)), "59 labels for the 60 pictures of train-images-idx3-ubyte"),
    "label of 10": (TRAIN_LABELS, with_label(17, 10), "train-labels-idx1-ubyte: label 17 is 10, outside 0 to 9"),
    "label of 255": (TRAIN_LABELS, with_label(60, 255), "label 60 is 255, outside 0 to 9"),
    "empty class": (TRAIN_LABELS, idx(labels(60) % 9), "train-labels-idx1-ubyte: no picture has label 9"),
    "empty class of the test": (TEST_LABELS, idx(labels(20) % 9), "t10k-labels-idx1-ubyte: no picture has label 9"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_folder_is_refused_with_its_file(tmp_path: Path, case: str) -> None:
    name, content, message = BAD[case]
    write(tmp_path)
    if content is None:
        (tmp_path / name).unlink()
    else:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(RequestError) as refusal:
        read_idx(tmp_path)
    line = str(refusal.value)
    assert line.startswith(f"data.path={tmp_path}: ")
    assert message in line
    assert "\n" not in line


@pytest.mark.parametrize("path", ["missing", "~nobody-of-this-name/x", "x" * 5000])
def test_a_folder_that_is_not_there_is_refused(path: str) -> None:
    with pytest.raises(RequestError):
        read_idx(path)


def test_a_header_takes_no_memory_and_a_gzip_bomb_little(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / TRAIN).write_bytes(header(0x803, 300_000, 28, 28))
    bomb = gzip.compress(header(0x803, 60, 28, 28) + bytes(64 << 20))
    for content in ((tmp_path / TRAIN).read_bytes(), bomb):
        (tmp_path / TRAIN).write_bytes(content)
        tracemalloc.start()
        try:
            with pytest.raises(RequestError, match="bytes of content"):
                read_idx(tmp_path)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak < 4 << 20
