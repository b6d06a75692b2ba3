"""Many workers against one: the sum of the same parts, in the bits that the order of sums promises."""

from collections.abc import Callable, Iterator, Mapping

from torch import Tensor, nn

from distbp.check.finding import Finding, layer_of
from distbp.check.model import bits, far
from distbp.comm import threads
from distbp.comm.base import Communicator
from distbp.comm.local import LocalCommunicator

WORKERS = "workers"
LAWS = {WORKERS: "the gradients of one batch on many workers against one worker's, of the same parts"}

SECONDS = 600.0  # that threads have for one batch

Sums = Callable[[Communicator], Mapping[str, Tensor]]
"""The sum of each gradient over all parts of one batch, on every worker of a communicator."""


def findings(module: nn.Module, sums: Sums, comm: Communicator, *, ordered: bool) -> Iterator[Finding]:
    """What holds of each gradient; a worker that is alone is compared with two that are threads. Collective.

    ``ordered`` sums have the same bits; the library's may be rounded in another order.
    """
    together = sums(comm) if comm.size > 1 else threads.run(2, sums, timeout=SECONDS)[0]
    alone = sums(LocalCommunicator(comm.device if comm.size > 1 else "cpu"))
    for name, gradient in together.items():
        error, bound = (bits(gradient, alone[name]), 0.0) if ordered else (far(gradient, alone[name]), 1e-5)
        yield Finding(layer_of(name, module), name, WORKERS, error, bound)
