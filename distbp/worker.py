"""One worker of a job: it joins the others, sets its threads, is watched, and ends as the job ends."""

import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import torch
from rich.console import Console

from distbp.comm.base import Communicator
from distbp.comm.channel import Channel, channel
from distbp.comm.connect import join
from distbp.comm.cores import threads
from distbp.comm.guard import detail, failure, guard
from distbp.comm.watch import Say, Watch
from distbp.comm.world import World
from distbp.errors import DistbpError, RequestError, StoppedError
from distbp.schema import Request
from distbp.verbs import VERBS

SILENT = Console(quiet=True)


def lead(verb: str, request: Request, world: World, console: Console, say: Say) -> dict[str, Any]:
    """Rank 0's way: tell the others what to run, and run it with them."""
    channel(world).broadcast({"verb": verb, "request": request.model_dump(mode="json")})
    return work(verb, request, world, console, say)


def follow(world: World, say: Say) -> int:
    """The other ranks' way: run what rank 0 sends, until it says that nothing follows and how it ended."""
    while True:
        order = channel(world).broadcast(None)
        if order["verb"] is None:
            channel(world).close()
            return int(order["exit_code"])
        try:
            work(order["verb"], Request.model_validate(order["request"]), world, SILENT, say)
        except RequestError:
            continue  # rank 0 has it too, and says it


def dismiss(world: World, exit_code: int) -> None:
    """Rank 0's last word to those that follow."""
    channel(world).broadcast({"verb": None, "exit_code": exit_code})
    channel(world).close()


def work(verb: str, request: Request, world: World, console: Console, say: Say) -> dict[str, Any]:
    """This worker's share of one job. Raises RequestError on all workers alike; what else ends it ends the process."""
    if request.workers not in (None, world.size):
        raise RequestError("workers", request.workers, f"{world.size} is allowed: {world.launcher} started as many")
    if request.comm.ranks_per_node:
        world = world.with_ranks_per_node(request.comm.ranks_per_node)
    link = channel(world)
    comm = join(world, link, kind=request.comm.name, device=request.device, timeout=request.comm.timeout)
    number = None if request.threads == "auto" else request.threads
    torch.set_num_threads(threads(number, world, shards_given=request.shards != "auto"))
    within = alone(comm, say) if world.launcher == "none" else watched(comm, link, request.comm.timeout, say)
    with closing(comm), within:
        return VERBS[verb](request, comm, console)


@contextmanager
def alone(comm: Communicator, say: Say) -> Iterator[None]:
    """The job within is alone: nobody waits for it, and what it fails with becomes a JobError."""
    watch = Watch(comm.board, say=say) if threading.current_thread() is threading.main_thread() else None
    if watch:
        watch.start()
    try:
        yield
    except (DistbpError, KeyboardInterrupt):
        raise
    except BaseException as error:
        print(detail(error), file=sys.stderr, end="")
        # contextlib would take an error that follows from a StopIteration for that StopIteration
        raise failure(error, comm.board) from (None if isinstance(error, StopIteration) else error)
    finally:
        if watch:
            watch.stop()


@contextmanager
def watched(comm: Communicator, link: Channel, timeout: float, say: Say) -> Iterator[None]:
    """The job within is watched: no failure of this worker or of a peer leaves anyone waiting."""
    watch = guard(comm, link, timeout=timeout, say=say)
    try:
        yield
    except RequestError:
        watch.stop()
        raise
    except StoppedError as error:
        watch.leave_saved(error if comm.rank == 0 else None)
    except BaseException as error:
        watch.end(failure(error, comm.board), detail=detail(error))
    watch.stop()
