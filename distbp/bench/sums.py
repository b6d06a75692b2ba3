"""What is compared: ways to sum one buffer over all workers, and a copy of as many bytes by every worker at once."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from distbp.bench.together import NAME
from distbp.comm.base import Communicator, Name
from distbp.comm.window import Window
from distbp.reduction.layout import plan
from distbp.reduction.order import Order, Ordered
from distbp.reduction.reducer import Reducer

Sum = tuple[str, Callable[[], object]]
"""A way's name, and what does it once. Collective."""


class Messages(Ordered):
    """The tree's order where no worker shows its memory."""

    def allocate(self, size: int, comm: Communicator, *, name: Name) -> Window:
        """Memory that nobody else sees."""
        return Order.allocate(self, size, comm, name=name)


def ways(size: int, comm: Communicator, gloo: Communicator) -> Iterator[Sum]:
    """Each way to sum ``size`` bytes of float32, of those that there are: window and MPI's own over MPI alone."""
    source, target = pages(size), pages(size)
    yield "memcpy", lambda: target.copy_(source)
    window, messages = (reducer(size, comm, order) for order in (Ordered(), Messages()))
    if window.total.window.shared:
        yield "window", summing(window)
    yield "messages", summing(messages)
    if comm.kind == "mpi":
        yield "mpi", lambda: comm.all_reduce(source, name=NAME).wait()
    yield "gloo", lambda: gloo.all_reduce(source, name=NAME).wait()


def pages(size: int) -> Tensor:
    """Zeros, each page of which has been written: unwritten ones are all the same memory.   (size / 4)."""
    return torch.empty(size // 4).fill_(0)


def reducer(size: int, comm: Communicator, order: Order) -> Reducer:
    """The reducer of one parameter, its gradient summed by ``order``."""
    made = Reducer(plan([("gradient", torch.empty(size // 4))], bucket_bytes=size, size=comm.size), comm, order)
    for buffer in made.total.buffers:
        buffer.fill_(0)
    return made


def summing(over: Reducer) -> Callable[[], object]:
    """One part a worker, summed, as in a step."""
    present = (True,) * over.comm.size
    return lambda: over.sum_all(present, step=NAME.step)
