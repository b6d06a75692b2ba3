"""Folders of class folders of small pictures: noise, brighter from class to class."""

from pathlib import Path

import numpy as np
from PIL import Image

CLASSES = ("ant", "bee", "cat")


def write(folder: Path, *, train: int = 8, val: int = 4, side: int = 8, colours: bool = False) -> Path:
    """So many pictures of each class in each split, PNG and JPEG in turn."""
    random = np.random.default_rng(0)
    for split, count in (("train", train), ("val", val)):
        for label, name in enumerate(CLASSES):
            place = folder / split / name
            place.mkdir(parents=True)
            for number in range(count):
                shape = (side, side, 3) if colours else (side, side)
                picture = Image.fromarray(random.integers(40 * label, 40 * label + 130, shape, dtype=np.uint8))
                picture.save(place / f"{number:03}.{('png', 'jpg')[number % 2]}")
    return folder
