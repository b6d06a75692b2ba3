"""How the workers tell the process that started them how the job ended."""

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from distbp.errors import DistbpError, JobError, RequestError, StoppedError

ERRORS: Mapping[str, type[RequestError | JobError | StoppedError]] = {
    "request": RequestError,
    "job": JobError,
    "stopped": StoppedError,
}


class Verdict:
    """A file that one worker writes: the job's result, or the error that ended it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def refuse(self, error: DistbpError) -> None:
        """The error that ended the job."""
        self.write(next(kind for kind, cause in ERRORS.items() if isinstance(error, cause)), error.as_json())

    def write(self, kind: str, value: Any) -> None:
        """``kind`` is "result", or the kind of an error; whole or not at all."""
        temporary = self.path.with_suffix(".new")
        temporary.write_text(json.dumps({"kind": kind, "value": value}))
        temporary.replace(self.path)

    def arrives(self, *, within: float) -> bool:
        """Whether it is there in ``within`` seconds: workers outlive a launcher that was killed, and speak then."""
        until = time.monotonic() + within
        while not self.path.exists() and time.monotonic() < until:
            time.sleep(0.02)
        return self.path.exists()

    def read(self) -> dict[str, Any]:
        """The result. Raises the error that ended the job, or FileNotFoundError if nobody wrote."""
        verdict = json.loads(self.path.read_text())
        if verdict["kind"] in ERRORS:
            raise ERRORS[verdict["kind"]].from_json(verdict["value"])
        result: dict[str, Any] = verdict["value"]
        return result
