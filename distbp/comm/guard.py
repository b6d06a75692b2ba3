"""Putting a worker under watch: the board of its node is opened, and its watch begins."""

import os
import socket
import traceback
from pathlib import Path

from distbp.comm.base import Communicator
from distbp.comm.board import Board
from distbp.comm.channel import Channel
from distbp.comm.watch import Say, Watch
from distbp.errors import JobError, ToldError


def guard(comm: Communicator, channel: Channel, *, timeout: float, say: Say, guest: bool = False) -> Watch:
    """The started watch of this worker, in a script of the user's own as a ``guest``.

    Collective; from the main thread.
    """
    comm.board = open_board(comm.rank, channel)
    watch = Watch(comm.board, say=say, timeout=timeout, parent=os.getppid(), guest=guest)
    watch.start()
    return watch


def open_board(rank: int, channel: Channel) -> Board:
    """The board of this node, with a row for each of its ranks. Collective."""
    hosts = channel.gather(socket.gethostname())
    ranks = [peer for peer, host in enumerate(hosts) if host == hosts[rank]]
    path = str(Board.create(len(ranks))) if rank == ranks[0] else None
    board = Board.open(Path(channel.gather(path)[ranks[0]]), rank, ranks)
    channel.gather(None)  # everyone has opened it
    if path:
        Path(path).unlink()
    return board


def failure(error: BaseException, board: Board) -> JobError:
    """What went wrong on this worker, and where it stood."""
    if isinstance(error, JobError):
        return error
    row = board.read(board.rank)
    cause = str(error) if isinstance(error, ToldError) else f"{type(error).__name__}: {error}"
    if isinstance(error, SystemExit):
        cause = f"sys.exit({error.code}) was called before the job was done"
    return JobError(cause, rank=board.rank, step=row.step, phase=row.phase)


def detail(error: BaseException) -> str:
    """The traceback of an error whose line does not tell all."""
    return "" if isinstance(error, JobError | ToldError) else "".join(traceback.format_exception(error))
