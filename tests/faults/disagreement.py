"""What a worker may do that the others do not: each fault happens once, in the step in which it is called."""

import os
import signal
import time
from unittest import mock

import torch

from distbp.reduction.order import Ordered
from distbp.reduction.reducer import exact_rows
from distbp.reduction.tally import Tally
from distbp.training.data_parallel import ENGINES


def instead(owner, name, other):
    """In the next call of ``owner.name``, ``other(original, self, ...)`` is called."""
    original = getattr(owner, name)

    def stand_in(*arguments, **settings):
        patch.stop()
        return other(original, *arguments, **settings)

    patch = mock.patch.object(owner, name, stand_in)
    patch.start()


def skip_sum():
    """The sum of the gradients is left out."""
    instead(Ordered, "reduce", lambda reduce, *arguments, **settings: None)


def skip_collective():
    """The losses of the others are left out."""
    instead(Tally, "complete", lambda complete, self, rows, **settings: rows)


def other_order():
    """The buckets are summed from the last to the first."""
    instead(
        Ordered,
        "reduce",
        lambda reduce, self, buckets, *arguments, **settings: reduce(self, buckets[::-1], *arguments, **settings),
    )


def other_shape():
    """There are twice as many rows of losses."""
    instead(Tally, "complete", lambda complete, self, rows, **settings: complete(self, [*rows, *rows], **settings))


def other_dtype():
    """As many numbers of another type are summed."""
    instead(
        Tally, "complete", lambda complete, self, rows, *, name: exact_rows(torch.tensor(rows), self._comm, name=name)
    )


def flip(module):
    """One bit of a weight is another, as after a fault of the memory."""
    weight = dict(module.named_parameters())["4.weight"].detach()
    weight.view(-1).view(torch.int32)[5] ^= 1 << 3


def not_a_number():
    """From now on a gradient has a not-a-number, which no loss shows."""

    def breaking(gradients):
        def broken(self, part, destination, state=None):
            outcome = gradients(self, part, destination, state)
            destination.gradients["4.weight"].view(-1)[7] = float("nan")
            return outcome

        return broken

    for engine in ENGINES.values():
        mock.patch.object(engine, "gradients", breaking(engine.gradients)).start()


def late():
    """The worker does nothing for an hour, where the others wait for its losses."""
    instead(Tally, "complete", lambda complete, self, rows, **settings: sleep())


def sleep():
    """The worker does nothing for an hour."""
    time.sleep(3600)


def stop():
    """The process is stopped, its watch too."""
    os.kill(os.getpid(), signal.SIGSTOP)
