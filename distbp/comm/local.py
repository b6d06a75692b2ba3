"""A world of one: every collective is the identity, so a program for many ranks runs alone without a branch."""
# ruff: noqa: ARG002 - alone, a root, an operation or a count means nothing

from collections.abc import Sequence

import torch
from torch import Tensor

from distbp.comm.base import DONE, Communicator, Op, Work
from distbp.comm.payload import flat


class LocalCommunicator(Communicator):
    """The group whose only rank is this one."""

    kind = "local"

    def __init__(self, device: torch.device | str = "cpu") -> None:
        super().__init__(rank=0, size=1)
        self.device = torch.device(device)

    def _all_reduce(self, tensor: Tensor, op: Op) -> Work:
        return DONE

    def _reduce_scatter(self, output: Tensor, tensor: Tensor, op: Op) -> Work:
        flat(output).copy_(flat(tensor))
        return DONE

    def _all_gather(self, output: Tensor, tensor: Tensor) -> Work:
        flat(output).copy_(flat(tensor))
        return DONE

    def _all_to_all(self, output: Tensor, tensor: Tensor, received: Sequence[int], sent: Sequence[int]) -> Work:
        flat(output).copy_(flat(tensor))
        return DONE

    def _broadcast(self, tensor: Tensor, root: int) -> Work:
        return DONE

    def _barrier(self) -> Work:
        return DONE
