"""Numbers that are none: whether a gradient has any, and on which worker, in which parameter they began.

Whether is asked in every step, by each worker of its share of the summed gradient, which costs a reading. Where is
found by computing the step's gradients once more and looking at them before they are summed.
"""

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from distbp.comm.base import Communicator, Name
from distbp.errors import JobError

UNCHANGED = "the weights are those of the step before"


def finite(values: Tensor) -> bool:
    """Whether there is neither a not-a-number nor an infinity among them.   (n) ->.

    Their sum is finite then, or else too large, and each is looked at.
    """
    return math.isfinite(values.sum().item()) or bool(torch.isfinite(values).all())


def share(values: Tensor, comm: Communicator) -> Tensor:
    """The values that this rank looks at: each is looked at by one.   (n) -> (n / N)."""
    n = values.numel()
    return values[comm.rank * n // comm.size : (comm.rank + 1) * n // comm.size]


def first_broken(gradients: Mapping[str, Tensor], names: Sequence[str]) -> str | None:
    """The first of ``names`` whose gradient is not finite."""
    return next((name for name in names if not finite(gradients[name].flatten())), None)


def blame(loss: float, mine: str | None, total: str | None, comm: Communicator, *, step: int) -> JobError:
    """The first rank whose own loss is not finite, or whose gradient of ``mine`` is not. Collective.

    ``loss`` is of this rank's samples. Where each rank's gradients are finite, what is broken is their sum, ``total``,
    as far as this rank has it: it is too large, or what was seen is not there any more.
    """
    everyone = comm.gather_json([repr(loss), mine, total], name=Name(step, "compute"))
    for rank, (its_loss, name, _) in enumerate(everyone):
        causes = [] if math.isfinite(float(its_loss)) else [f"the loss is {its_loss} on its samples"]
        causes += [f"its gradient of {name} is not finite"] if name else []
        if causes:
            return JobError(f"{' and '.join(causes)}; {UNCHANGED}", rank=rank, step=step, phase="compute")
    total = next((its_total for *_, its_total in everyone if its_total), None)
    cause = f"the sum of the gradients of {total} is not finite, though every rank's is, computed again; {UNCHANGED}"
    return JobError(cause, rank=0, step=step, phase="reduce")
