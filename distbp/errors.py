"""The ways a job can end early: the request was wrong, the job failed while it ran, or a signal stopped it.

Each carries one line for the user. The exit code belongs to the class, so that every launcher answers alike.
"""

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any, TypeVar

T = TypeVar("T")


class DistbpError(Exception):
    """Base of the errors that end a job with one line and an exit code of their own."""

    exit_code = 1

    opening = "distbp: error:"

    @property
    def line(self) -> str:
        """What the user reads."""
        return f"{self.opening} {self}"

    def as_json(self) -> dict[str, Any]:
        """The error's fields, for another process to raise it again."""
        raise NotImplementedError


class ToldError(Exception):
    """What its words tell in full, of the user's files, say: it ends a job without a traceback."""


class RequestError(DistbpError, ValueError):
    """The request is wrong (configuration, data, label, checkpoint): exit code 2.

    ``RequestError("optimizer.lr", -1, "a number greater than 0")`` reads
    ``optimizer.lr=-1: a number greater than 0``.
    """

    exit_code = 2

    def __init__(self, key: str, value: object, allowed: str, *, nearest: str | None = None) -> None:
        self.key, self.value, self.allowed, self.nearest = key, value, allowed, nearest
        hint = f"; nearest: {nearest}" if nearest else ""
        super().__init__(f"{key}={value}: {allowed}{hint}")

    def as_json(self) -> dict[str, Any]:
        """The error's fields, for another process to raise it again."""
        return {"key": self.key, "value": str(self.value), "allowed": self.allowed, "nearest": self.nearest}

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> "RequestError":
        """The error whose ``as_json`` these fields are."""
        return cls(fields["key"], fields["value"], fields["allowed"], nearest=fields["nearest"])


class JobError(DistbpError, RuntimeError):
    """The job failed while it ran (worker lost, hang, ranks disagree, not a number): exit code 3."""

    exit_code = 3

    def __init__(self, cause: str, *, rank: int, step: int, phase: str) -> None:
        self.cause, self.rank, self.step, self.phase = cause, rank, step, phase
        super().__init__(f"rank {rank} failed at step {step} in phase {phase}: {cause}")

    def as_json(self) -> dict[str, Any]:
        """The error's fields, for another process to raise it again."""
        return {"cause": self.cause, "rank": self.rank, "step": self.step, "phase": self.phase}

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> "JobError":
        """The error whose ``as_json`` these fields are."""
        return cls(fields["cause"], rank=fields["rank"], step=fields["step"], phase=fields["phase"])


class StoppedError(DistbpError):
    """A signal stopped the job, which has saved itself if it could: exit code 143, as a shell says SIGTERM."""

    exit_code = 128 + 15
    opening = "distbp:"

    def __init__(self, cause: str) -> None:
        self.cause = cause
        super().__init__(f"stopped {cause}")

    def as_json(self) -> dict[str, Any]:
        """The error's fields, for another process to raise it again."""
        return {"cause": self.cause}

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> "StoppedError":
        """The error whose ``as_json`` these fields are."""
        return cls(fields["cause"])


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name closest in spelling to ``name``, or None if none is close."""
    close = get_close_matches(name, list(known), n=1, cutoff=0.5)
    return close[0] if close else None


def one_of(key: str, name: str, choices: Mapping[str, T]) -> T:
    """The choice of this name."""
    if name not in choices:
        raise RequestError(key, name, f"one of {', '.join(choices)} is allowed", nearest=nearest(name, choices))
    return choices[name]
