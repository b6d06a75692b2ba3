"""One rank of the pool: joins its world as a job would, then runs the functions that pytest names."""

# ruff: noqa: E402 - what is loaded after the first call loads in less time

import faulthandler
import importlib
import json
import os
import queue
import signal
import socket
import sys
import threading
import time
import traceback
from functools import reduce
from typing import IO, Any

from distbp.garbage import search_seldom

search_seldom()

import torch

from distbp.comm.base import Communicator
from distbp.comm.channel import channel
from distbp.comm.connect import join
from distbp.comm.world import World

LEAVE = 2.0  # s to leave in order


def main(kind: Any, path: str) -> None:
    """Serve until pytest closes the socket."""
    faulthandler.register(signal.SIGUSR1)
    torch.set_num_threads(1)
    world = World.detect()
    communicator = join(world, channel(world), kind=kind, device="cpu", timeout=600.0)
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(path)
    calls: queue.Queue[dict[str, Any] | None] = queue.Queue()
    threading.Thread(target=_listen, args=(connection.makefile("r"), calls), daemon=True).start()
    _send(connection, {"rank": world.rank, "pid": os.getpid()})
    while call := calls.get():
        _send(connection, _answer(communicator, call))
    communicator.close()
    channel(world).close()


def _listen(lines: IO[str], calls: "queue.Queue[dict[str, Any] | None]") -> None:
    """Take calls, also while one runs. When pytest is gone, this rank goes: in order, or else at once."""
    for line in lines:
        calls.put(json.loads(line))
    calls.put(None)
    time.sleep(LEAVE)
    os._exit(1)


def _answer(communicator: Communicator, call: dict[str, Any]) -> dict[str, Any]:
    try:
        function = reduce(getattr, call["function"].split("."), importlib.import_module(call["module"]))
        return {"result": json.loads(json.dumps(function(communicator, *call["args"])))}  # type: ignore[operator]
    except BaseException:
        return {"failure": traceback.format_exc()}


def _send(connection: socket.socket, message: dict[str, Any]) -> None:
    connection.sendall(json.dumps(message).encode() + b"\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
