"""Files of Debian packages: real packages, made here, that an apt-get of ours hands out."""

import hashlib
import os
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from distbp.data import fashion_mnist, sources
from distbp.data.idx import read_pair
from distbp.data.source import Source
from distbp.data.sources import fetch
from distbp.errors import RequestError

CONTENT = b"some data\n" * 1000
MADE_UP = Source(
    package="made-up-data",
    version="1.0",
    member="usr/share/made-up/table.csv",
    size=len(CONTENT),
    sha256=hashlib.sha256(CONTENT).hexdigest(),
    licence="CC0",
    about="a made-up table",
    citation="nobody",
    kind="deb",
)

pytestmark = pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="dpkg-deb makes the packages")


def apt_get(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """A program of that name, in front of all others."""
    program = tmp_path / "bin" / "apt-get"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=os.pathsep)


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree = tmp_path / "tree"
    (tree / "DEBIAN").mkdir(parents=True)
    (tree / "DEBIAN" / "control").write_text(
        "Package: made-up-data\nVersion: 1.0\nArchitecture: all\nMaintainer: nobody <no@body>\nDescription: made up\n"
    )
    file = tree / MADE_UP.member
    file.parent.mkdir(parents=True)
    file.write_bytes(CONTENT)
    file.with_name("other.csv").write_bytes(b"two")
    package = tmp_path / "made-up-data_1.0_all.deb"
    subprocess.run(["dpkg-deb", "--root-owner-group", "--build", tree, package], check=True, capture_output=True)
    apt_get(tmp_path, monkeypatch, f'[ "$1 $2" = "download made-up-data" ] && cp {package} .')


@pytest.mark.usefixtures("served")
def test_a_package_is_downloaded_once_for_all_its_files(tmp_path: Path) -> None:
    said: list[str] = []
    other = replace(MADE_UP, member="usr/share/made-up/other.csv", size=3, sha256=hashlib.sha256(b"two").hexdigest())
    elsewhere = replace(MADE_UP, package="another", sha256="0" * 64)
    sources_ = {"table": MADE_UP, "other": other, "elsewhere": elsewhere}
    paths = [fetch(name, tmp_path / "cache", said.append, sources=sources_) for name in ("table", "other", "table")]
    assert [path.read_bytes() for path in paths] == [CONTENT, b"two", CONTENT]
    assert len(said) == 1


def get(tmp_path: Path, source: Source = MADE_UP) -> Path:
    return fetch("table", tmp_path / "cache", lambda line: None, sources={"table": source})


def refusal(tmp_path: Path, source: Source = MADE_UP) -> str:
    with pytest.raises(RequestError) as caught:
        get(tmp_path, source)
    assert caught.value.key == "data.path"
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.usefixtures("served")
def test_a_file_is_taken_out_of_its_package(tmp_path: Path) -> None:
    assert get(tmp_path).read_bytes() == CONTENT


@pytest.mark.usefixtures("served")
def test_another_file_is_refused(tmp_path: Path) -> None:
    assert "sha256 differs" in refusal(tmp_path, replace(MADE_UP, sha256="0" * 64))
    assert "it has no usr/share/other" in refusal(tmp_path, replace(MADE_UP, member="usr/share/other"))


def test_lists_that_are_missing_are_named_with_the_way_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    apt_get(tmp_path, monkeypatch, 'echo "E: Unable to locate package made-up-data" >&2; exit 100')
    line = refusal(tmp_path)
    assert "Unable to locate package made-up-data; apt-get update may be needed first" in line
    assert "data.path=" in line


def test_a_package_that_does_not_come_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    apt_get(tmp_path, monkeypatch, "exit 0")
    assert "left 0 packages" in refusal(tmp_path)


def test_a_download_that_takes_too_long_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    apt_get(tmp_path, monkeypatch, "exec sleep 60")
    monkeypatch.setattr(sources, "DOWNLOAD_SECONDS", 0.1)
    assert "took longer than" in refusal(tmp_path)


def test_a_machine_without_apt_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "this machine has no apt-get" in refusal(tmp_path)


@pytest.mark.long
def test_the_real_pictures_arrive(tmp_path: Path) -> None:
    training, training_labels, test, test_labels = (
        fetch(fashion_mnist.name_of(file), tmp_path, print) for file in fashion_mnist.FILES
    )
    for pictures, labels, n in ((training, training_labels, 6000), (test, test_labels, 1000)):
        assert np.bincount(read_pair(pictures, labels).labels).tolist() == [n] * 10
