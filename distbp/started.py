"""The process of a worker that our own launcher starts: rank 0 reads the request, and the verdict goes back by file."""

import json
import sys

from distbp.comm.kin import die_with_parent
from distbp.comm.world import World
from distbp.errors import RequestError
from distbp.garbage import search_seldom
from distbp.verdict import Verdict


def main() -> int:
    """This worker's share of the job, and the exit code."""
    die_with_parent()
    search_seldom()
    world = World.detect()
    assert world.job, "only the launcher starts this"
    verdict = Verdict(world.job.with_name("verdict.json"))

    from rich.console import Console

    from distbp.comm.channel import channel
    from distbp.schema import Request
    from distbp.worker import dismiss, follow, lead

    try:
        channel(world)
    except RequestError as error:
        if world.rank == 0:
            verdict.refuse(error)
        return 0
    if world.rank != 0:
        return follow(world, verdict.refuse)
    order = json.loads(world.job.read_text())
    console = Console(force_terminal=order["terminal"], width=order["width"])
    try:
        result = lead(order["verb"], Request.model_validate(order["request"]), world, console, verdict.refuse)
        verdict.write("result", result)
    except RequestError as error:
        verdict.refuse(error)
    dismiss(world, 0)
    return 0


if __name__ == "__main__":
    sys.exit(main())
