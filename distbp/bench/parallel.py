"""What is compared on several workers: ways to do one training step of a case, each worker on a batch of its own."""

import inspect
from typing import Any

import torch
from torch.nn.parallel import DistributedDataParallel

from distbp.bench.contenders import LR, OPTIMIZERS, Autograd, Contender, MeanLoss
from distbp.bench.models.case import Case
from distbp.comm.base import Communicator
from distbp.comm.mpi import MpiCommunicator, library, memory
from distbp.comm.torch_dist import TorchCommunicator
from distbp.data.part import Part
from distbp.training import optimizers
from distbp.training.data_parallel import DataParallel
from distbp.training.touched_rows import touching

# torch 2.13 deprecates the old name, which is all that earlier versions have.
_NAMES = inspect.signature(DistributedDataParallel).parameters
SYNC_BUFFERS = "forward_sync_buffers" if "forward_sync_buffers" in _NAMES else "broadcast_buffers"
ALL_MB = 1 << 12  # a bucket that holds every gradient


class Ours(Contender):
    """The step of ``Trainer``: the manual engine, the reducer, one update of the flat buffers.

    ``parts`` is the number of leaves of the tree that this worker holds: shards over workers.
    """

    def __init__(self, case: Case, comm: Communicator, *, reduction: str = "ordered", parts: int = 1) -> None:
        super().__init__(case)
        self.parallel = DataParallel(case.module, case.loss, reduction=reduction, comm=comm)
        first = comm.rank * parts
        self.parts = [Part(v, piece.inputs, piece.target, draws=0) for v, piece in enumerate(case.cut(parts), first)]
        self.present = (True,) * (parts * comm.size)
        self.parallel.prepare(self.parts[0])
        self.parallel.divide_update()
        self.parameters = [tensor for group in self.parallel.updated for tensor in group["params"]]
        self.optimizer = OPTIMIZERS[case.optimizer](self.parallel.updated, lr=LR)
        self.position = 0

    def step(self) -> None:
        """Everybody's gradients, summed, and the update."""
        totals = self.parallel.gradients(self.parts, self.present, step=self.position)
        with touching(self.parallel.touched_rows, self.parallel.row_gradients, self.optimizer):
            optimizers.update(self.optimizer, lr=LR, count=totals.count)
        self.parallel.weights.spread(step=self.position)
        self.position += 1


class Replicated(Autograd):
    """torch's DistributedDataParallel with the settings that make it fastest, over gloo.

    Running statistics are left to each worker: rank 0's, which a user saves, are the same where they are broadcast
    before each forward pass, and the step is shorter. Without ``overlap`` there is one bucket, which leaves when the
    backward pass is over.
    """

    def __init__(self, case: Case, gloo: TorchCommunicator, *, overlap: bool = True) -> None:
        super().__init__(case)
        settings: dict[str, Any] = {SYNC_BUFFERS: False, "bucket_cap_mb": None if overlap else ALL_MB}
        replica = DistributedDataParallel(
            case.module,
            process_group=gloo.group,
            gradient_as_bucket_view=True,
            static_graph=True,
            **settings,
        )
        self.whole = MeanLoss(replica, case.loss)


class PlainMpi(Contender):
    """What people write with mpi4py: the tape, its gradients side by side in one buffer, one Allreduce of it.

    Parameters lie flat, too, so that the fused optimizer updates one tensor and nothing is copied back.
    """

    def __init__(self, case: Case, comm: MpiCommunicator) -> None:
        super().__init__(case)
        self.whole = MeanLoss(case.module, case.loss)
        self.trained = list(case.module.parameters())
        self.flat = torch.cat([parameter.detach().view(-1) for parameter in self.trained])
        self.flat.grad = torch.empty_like(self.flat)
        pieces = self.flat.split_with_sizes([parameter.numel() for parameter in self.trained])
        for parameter, piece in zip(self.trained, pieces, strict=True):
            parameter.data = piece.view(parameter.shape)
        self.parameters = [self.flat]
        self.optimizer = OPTIMIZERS[case.optimizer](self.parameters, lr=LR)
        self.buffer = memory(self.flat.grad)
        self.mpi, self.group = library(), comm.group

    def step(self) -> None:
        """The gradients of this worker's share of the mean loss, their sum, and the update."""
        loss = self.whole(self.case.inputs, self.case.target) / self.group.size
        gradients = torch.autograd.grad(loss, self.trained)
        torch.cat([gradient.reshape(-1) for gradient in gradients], out=self.flat.grad)
        self.group.Allreduce(self.mpi.IN_PLACE, self.buffer, self.mpi.SUM)
        self.optimizer.step()
