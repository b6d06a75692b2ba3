"""Fashion-MNIST as Debian packages it: the four IDX files, as sources by name."""

from pathlib import PurePosixPath

from distbp.data.source import Source

FOLDER = PurePosixPath("usr/share/datasets/fashion-mnist")
FILES = {  # size and sha256
    "train-images-idx3-ubyte.gz": (26_421_856, "b0564c3eedabfbf835052cff8503ea422014ce006caf5b757f851416ee8300c7"),
    "train-labels-idx1-ubyte.gz": (29_491, "0ae29f65d86684f32d1b9c85147786c547b9c6aebcaf235f0400a0cce308b056"),
    "t10k-images-idx3-ubyte.gz": (4_422_079, "cc1d090a38ace84dfa1aa66e3ada7c336ef481a96936906477e6dd344da56eaa"),
    "t10k-labels-idx1-ubyte.gz": (5_125, "8d3605d196f4be44669e46906da9733c8131fef761fdbfec72c424d5222f1a05"),
}


def sources() -> dict[str, Source]:
    """The files, by name."""
    return {name_of(file): source(file) for file in FILES}


def name_of(file: str) -> str:
    """The name that a file is fetched by: ``fashion_train_images`` ..."""
    return f"fashion_{file.partition('-idx')[0].replace('-', '_')}"


def source(file: str) -> Source:
    """One of the four files."""
    size, sha256 = FILES[file]
    return Source(
        package="dataset-fashion-mnist",
        version="0.0~git20200523.55506a9-1",
        member=str(FOLDER / file),
        size=size,
        sha256=sha256,
        licence="MIT",
        about=f"Fashion-MNIST, {file}: of 70,000 pictures of clothing, 28x28 pixels, ten classes",
        citation="H. Xiao, K. Rasul, R. Vollgraf: Fashion-MNIST: a novel image dataset for benchmarking machine "
        "learning algorithms. arXiv:1708.07747, 2017",
        kind="deb",
    )
