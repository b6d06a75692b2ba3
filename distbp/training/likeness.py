"""One module on every worker: of one make, with one set of values."""

from itertools import zip_longest

from torch import Tensor, nn

from distbp.comm.base import Communicator, Name
from distbp.engines.buffers import once
from distbp.errors import RequestError

START = Name(0, "start")


def refuse_unlike(module: nn.Module, comm: Communicator) -> None:
    """RequestError, on every worker, if some worker's module has other parameters or buffers than rank 0's.

    A parameter that is frozen is another than one that is not.
    """
    tensors = (*module.named_parameters(), *module.named_buffers())
    mine = [f"{name} {tuple(x.shape)} {x.dtype}{' frozen' * frozen(x)}" for name, x in tensors]
    first, *others = comm.gather_json(mine, name=START)
    for rank, theirs in enumerate(others, start=1):
        if theirs != first:
            expected, found = next(pair for pair in zip_longest(first, theirs) if pair[0] != pair[1])
            raise RequestError("module", f"{found} on rank {rank}", f"{expected} is allowed, as on rank 0")


def frozen(tensor: Tensor) -> bool:
    """Whether it is a parameter that is not trained."""
    return isinstance(tensor, nn.Parameter) and not tensor.requires_grad


def from_rank_0(tensor: Tensor, comm: Communicator) -> None:
    """Rank 0's values, on every worker, however the tensor lies in memory."""
    own = once(tensor)
    values = own.contiguous()
    comm.broadcast(values, name=START).wait()
    if values.data_ptr() != own.data_ptr():
        own.copy_(values)
