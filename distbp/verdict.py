"""How the workers tell the process that started them how the job ended."""

import json
import time
from pathlib import Path
from typing import Any

from distbp.errors import JobError, RequestError


class Verdict:
    """A file that one worker writes: the job's result, or the error that ended it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, kind: str, value: Any) -> None:
        """``kind`` is "result", "request" or "job"; whole or not at all."""
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
        if verdict["kind"] == "request":
            raise RequestError.from_json(verdict["value"])
        if verdict["kind"] == "job":
            raise JobError.from_json(verdict["value"])
        result: dict[str, Any] = verdict["value"]
        return result
