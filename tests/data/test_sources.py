"""Fetching: pinned, verified, once, and what is said where it cannot be done. Real pip, on wheels made here."""

import hashlib
import multiprocessing
import os
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from distbp.data import sources
from distbp.data.formats import read_digits
from distbp.data.sources import SOURCES, Source, fetch, listing
from distbp.errors import RequestError

CONTENT = b"some data\n" * 1000
MADE_UP = Source(
    package="distbp-made-up-data",
    version="1.0",
    member="made_up/data/table.csv",
    size=len(CONTENT),
    sha256=hashlib.sha256(CONTENT).hexdigest(),
    licence="CC0",
    about="a made-up table",
    citation="nobody",
)
REGISTRY = {"table": MADE_UP}
LOCK = f".{MADE_UP.package}-{MADE_UP.version}.lock"


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that pip takes for the only package index, with one wheel."""
    folder = tmp_path / "index"
    folder.mkdir()
    publish(folder, MADE_UP.member, CONTENT)
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def publish(folder: Path, member: str, content: bytes) -> None:
    info = "distbp_made_up_data-1.0.dist-info"
    with zipfile.ZipFile(folder / "distbp_made_up_data-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr(member, content)
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: distbp-made-up-data\nVersion: 1.0\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")


def get(cache: Path, said: list[str] | None = None) -> Path:
    return fetch("table", cache, ([] if said is None else said).append, sources=REGISTRY)


def files(cache: Path) -> list[str]:
    return sorted(path.name for path in cache.iterdir() if not path.name.endswith(".lock"))


def test_a_source_is_fetched_once_and_then_found(tmp_path: Path, index: Path) -> None:
    cache, said = tmp_path / "deep" / "cache", []  # type: tuple[Path, list[str]]
    path = get(cache, said)
    assert path.read_bytes() == CONTENT
    assert files(cache) == [path.name]
    assert len(said) == 1
    assert "a made-up table" in said[0]
    (index / "distbp_made_up_data-1.0-py3-none-any.whl").unlink()
    assert get(cache, said) == path
    assert len(said) == 1


@pytest.mark.parametrize(
    "damage",
    [lambda p: p.write_bytes(b"x" + CONTENT[1:]), lambda p: p.write_bytes(CONTENT[:-1]), lambda p: p.write_bytes(b"")],
    ids=["a byte changed", "truncated", "empty"],
)
def test_a_damaged_file_is_fetched_again(tmp_path: Path, index: Path, damage: Callable[[Path], object]) -> None:
    damage(get(tmp_path / "cache"))
    assert [entry.cached for entry in listing(tmp_path / "cache", REGISTRY)] == [False]
    assert get(tmp_path / "cache").read_bytes() == CONTENT


def test_a_cache_that_cannot_be_written_still_serves_what_it_holds(
    tmp_path: Path, index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = get(tmp_path / "cache")
    monkeypatch.setattr(sources, "locked", None)  # neither locks nor stores: it would fail
    assert get(tmp_path / "cache") == path


def fetch_in_child(cache: Path, log: Path) -> None:
    def report(line: str) -> None:
        with log.open("a") as file:
            file.write(line + "\n")

    assert fetch("table", cache, report, sources=REGISTRY).read_bytes() == CONTENT


def test_processes_at_once_fetch_once(tmp_path: Path, index: Path) -> None:
    context = multiprocessing.get_context("fork")
    children = [
        context.Process(target=fetch_in_child, args=(tmp_path / "cache", tmp_path / "log"), daemon=True)
        for _ in range(4)
    ]
    for child in children:
        child.start()
    for child in children:
        child.join(60)
    assert [child.exitcode for child in children] == [0] * 4
    assert len((tmp_path / "log").read_text().splitlines()) == 1


def test_a_process_that_dies_while_it_fetches_holds_nobody_up(tmp_path: Path, index: Path) -> None:
    lock = tmp_path / "cache" / LOCK
    program = f"""
import time
from pathlib import Path
from distbp.data.sources import locked
with locked(Path({str(lock)!r})):
    print("held", flush=True)
    time.sleep(100)
"""
    lock.parent.mkdir()
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        holder.send_signal(signal.SIGKILL)
    begin = time.monotonic()
    assert get(tmp_path / "cache").read_bytes() == CONTENT
    assert time.monotonic() - begin < 30


def test_a_lock_that_is_never_freed_is_a_wrong_request_in_the_end(
    tmp_path: Path, index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "LOCK_SECONDS", 0.2)
    cache = tmp_path / "cache"
    cache.mkdir()
    with (
        sources.locked(cache / LOCK),
        pytest.raises(RequestError, match="another process"),
    ):
        get(cache)


def refusal(cache: Path) -> RequestError:
    with pytest.raises(RequestError) as caught:
        get(cache)
    assert "\n" not in str(caught.value)
    return caught.value


def test_without_an_index_the_ways_out_are_named(tmp_path: Path, index: Path) -> None:
    (index / "distbp_made_up_data-1.0-py3-none-any.whl").unlink()
    error = refusal(tmp_path / "cache")
    assert error.key == "data.path"
    assert "No matching distribution found for distbp-made-up-data==1.0" in error.allowed
    assert "data.path=FILE" in error.allowed
    assert files(tmp_path / "cache") == []


def test_a_python_without_pip_says_so(tmp_path: Path, index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bare = tmp_path / "python"
    bare.write_text(f'#!/bin/sh\nexec {sys.executable} -S -E "$@"\n')
    bare.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(bare))
    assert "No module named pip" in refusal(tmp_path / "cache").allowed


def test_a_download_that_takes_too_long_is_given_up(
    tmp_path: Path, index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "DOWNLOAD_SECONDS", 0.01)
    assert "took longer than" in refusal(tmp_path / "cache").allowed


@pytest.mark.parametrize(
    ("member", "content", "message"),
    [
        (MADE_UP.member, CONTENT[:-1] + b"x", "sha256 differs"),
        (MADE_UP.member, CONTENT * 100, "sha256 differs"),
        ("made_up/other.csv", CONTENT, "is not the expected package"),
    ],
)
def test_another_content_is_refused_and_not_kept(
    tmp_path: Path, index: Path, member: str, content: bytes, message: str
) -> None:
    publish(index, member, content)
    assert message in refusal(tmp_path / "cache").allowed
    assert files(tmp_path / "cache") == []


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path, index: Path) -> None:
    (tmp_path / "file").touch()
    error = refusal(tmp_path / "file" / "cache")
    assert error.key == "data.cache"
    assert "Not a directory" in error.allowed


def test_a_full_disk_is_named_and_leaves_nothing(tmp_path: Path, index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    error = refusal(tmp_path / "cache")
    assert (error.key, "No space left on device" in error.allowed) == ("data.cache", True)
    assert files(tmp_path / "cache") == []


def test_a_home_that_does_not_exist_is_named() -> None:
    assert refusal(Path("~nobody-of-this-name/cache")).key == "data.cache"


def test_an_unknown_source_has_a_nearest_one(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="nearest: digits"):
        fetch("digit", tmp_path, print)


def test_the_listing_says_what_is_there(tmp_path: Path, index: Path) -> None:
    (before,) = listing(tmp_path / "cache", REGISTRY)
    get(tmp_path / "cache")
    (after,) = listing(tmp_path / "cache", REGISTRY)
    assert (before.cached, after.cached) == (False, True)
    assert after[:4] == ("table", "distbp-made-up-data 1.0", len(CONTENT), "CC0")
    assert [entry.name for entry in listing(tmp_path)] == list(SOURCES)


def test_no_two_contents_share_a_name_in_the_cache() -> None:
    assert replace(MADE_UP, sha256="0" * 64).filename != MADE_UP.filename


def test_the_real_digits_arrive(tmp_path: Path) -> None:
    digits = read_digits(fetch("digits", tmp_path, print))
    assert digits.pixels.shape == (5000, 28, 28)
    assert digits.labels.tolist() == [label for label in range(10) for _ in range(500)]
