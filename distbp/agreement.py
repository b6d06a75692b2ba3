"""What all workers find out together: whether anyone's part of the request is wrong, and whether they are alike."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from distbp.comm.base import Communicator, Name
from distbp.errors import JobError, RequestError
from distbp.schema import leaves

T = TypeVar("T")
START = Name(0, "start")


def agreed(comm: Communicator, build: Callable[[], T]) -> T:
    """What ``build`` gives on this worker, if it fails on none; else every worker raises the first one's RequestError.

    Collective. A RequestError that only one worker meets (a file that is missing on its node) is thus one line, said
    once, and no worker waits for another that has left.
    """
    try:
        built, error = build(), None
    except RequestError as wrong:
        error = wrong
    errors = comm.gather_json(error and error.as_json(), name=START)
    for rank, fields in enumerate(errors):
        if fields:
            raise RequestError.from_json(fields) from (error if rank == comm.rank else None)
    return built


def same_everywhere(comm: Communicator, conditions: Mapping[str, Any]) -> None:
    """Raise JobError, on every worker, if some worker's conditions are not rank 0's. Collective.

    ``conditions`` is what the bits of a result depend on, as JSON can hold it, nested or not.
    """
    everyone = comm.gather_json(dict(leaves(conditions)), name=START)
    for rank, theirs in enumerate(everyone):
        for key in everyone[0] | theirs:
            expected, found = everyone[0].get(key), theirs.get(key)
            if found != expected:
                cause = f"its {key} is {found}, that of rank 0 is {expected}: the ranks must be alike"
                raise JobError(cause, rank=rank, step=0, phase="start")
