"""One data-parallel step: every worker's gradients of its own parts, and their sum on every worker."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from distbp.comm.base import Communicator, Name
from distbp.data.order import key
from distbp.data.part import Part, pieces
from distbp.engines.autograd import AutogradEngine
from distbp.engines.base import Destination, Engine, Loss
from distbp.engines.manual import ManualEngine
from distbp.errors import RequestError, nearest
from distbp.reduction.layout import adopt, plan
from distbp.reduction.order import Library, Order, Ordered
from distbp.reduction.reducer import Reducer, Slot
from distbp.training.clock import Clock
from distbp.training.joining import join_world
from distbp.training.moving_buffers import MovingBuffers

ENGINES: Mapping[str, type[Engine]] = {"manual": ManualEngine, "autograd": AutogradEngine}
ORDERS: Mapping[str, type[Order]] = {"ordered": Ordered, "library": Library}
T = TypeVar("T")
BUCKET_BYTES = 25 * 2**20
START = Name(0, "start")


@dataclass(frozen=True)
class Totals:
    """Sums over the global batch; the mean loss is ``loss_sum / count``."""

    loss_sum: float
    count: float

    @property
    def loss(self) -> float:
        """The mean loss; 0 where nothing counted (every label ignored)."""
        return self.loss_sum / self.count if self.count else 0.0


class DataParallel:
    """A module whose gradients are those of the global batch, summed over all workers.

    ``loss(output, target)`` returns ``(sum, count)``, or a mean, whose count is then the number of examples. The
    workers begin with rank 0's weights. From the first call on, the parameters and their gradients are views into
    flat buffers: ``p.grad`` of every trainable parameter holds its gradient after each call, for any optimizer::

        step = distbp.DataParallel(module, nn.CrossEntropyLoss())
        for inputs, target in loader:          # this worker's part; the inputs a tensor or a tuple of them
            loss = step(inputs, target)
            optimizer.step()

    Without ``comm`` it joins the world that launched the process, or a world of one. Every worker calls it equally
    often; a worker that has nothing left gives a part of no examples.
    """

    def __init__(
        self,
        module: nn.Module,
        loss: Loss,
        *,
        engine: str | Engine = "manual",
        reduction: str | Order = "ordered",
        comm: Communicator | None = None,
        bucket_bytes: int = BUCKET_BYTES,
        micro_batches: int = 1,
        min_part: int = 1,
        seed: int = 0,
    ) -> None:
        self.module = module
        self.engine = engine if isinstance(engine, Engine) else one_of("engine", engine, ENGINES)(module, loss)
        self.comm = comm or join_world(next((p.device.type for p in module.parameters()), "cpu"))
        self.clock = Clock(self.comm.board)
        self.bucket_bytes = bucket_bytes
        self.micro_batches = micro_batches
        self.min_part = min_part
        self.seed = seed
        self.step = 0
        self._order = reduction if isinstance(reduction, Order) else one_of("reduction", reduction, ORDERS)()
        self._reducer: Reducer | None = None
        self._destinations: dict[Slot, tuple[Destination, Destination]] = {}
        refuse_unlike(module, self.comm)
        for tensor in (*module.parameters(), *module.buffers()):
            from_rank_0(tensor.detach(), self.comm)

    def __call__(self, inputs: Tensor | Sequence[Tensor], target: Any) -> Tensor:
        """The mean loss over all workers' examples; its gradient is left in every ``p.grad``.   () float32."""
        rank, size = self.comm.rank, self.comm.size
        arguments = (inputs,) if isinstance(inputs, Tensor) else tuple(inputs)
        part = Part(rank, arguments, target, draws=key(self.seed, self.step, rank))
        self.prepare(part)
        totals = self.gradients([part], (True,) * size, step=self.step)
        self.step += 1
        for gradient in self.flat_gradients:
            gradient.div_(totals.count or 1)
        for name, parameter in self._trainable.items():
            parameter.grad = self.reducer.total.views[name]  # zero_grad() may have taken it away
        return torch.tensor(totals.loss)

    @property
    def source(self) -> str:
        """The Python source of the backward pass (manual engine), once the first batch has been seen."""
        return self.engine.source

    @property
    def reducer(self) -> Reducer:
        """The flat buffers and their sums; stands once ``prepare`` has seen an example."""
        assert self._reducer is not None, "prepare has seen no example yet"
        return self._reducer

    @property
    def flat_gradients(self) -> list[Tensor]:
        """The gradient buffers, one for each dtype of parameters."""
        return self.reducer.total.buffers[: len(self.flat_parameters)]

    def prepare(self, example: Part) -> None:
        """Lay the parameters out in the order of their emission, once. Only the example's shapes count."""
        if self._reducer is not None:
            return
        self.engine.prepare(example)
        everyones = self.comm.gather_json(self.engine.moving or (), name=START)
        self.engine.moving = list(dict.fromkeys(name for names in everyones for name in names))
        self._trainable = {name: p for name, p in self.module.named_parameters() if p.requires_grad}
        self._buffers = MovingBuffers(self.module, self.engine.moving)
        emitted = [(name, self._trainable[name]) for name in self.engine.emissions]
        self.layouts, moving = (
            plan(tensors, bucket_bytes=self.bucket_bytes, size=self.comm.size)
            for tensors in (emitted, self._buffers.floats.items())
        )
        self._reducer = Reducer(self.layouts + moving, self.comm, self._order)
        self.flat_parameters = [layout.allocate(self.comm.device) for layout in self.layouts]
        for layout, flat, gradient in zip(self.layouts, self.flat_parameters, self.flat_gradients, strict=True):
            adopt(self._trainable, layout.views(flat))
            flat.grad = gradient

    def gradients(self, parts: Sequence[Part], present: tuple[bool, ...], *, step: int) -> Totals:
        """The sums over all parts of all workers: of the gradients, in ``flat_gradients``, undivided, and of the loss.

        ``parts`` are this worker's, ``present`` says which parts there are in the global batch.
        """
        by_leaf = {part.index: part for part in parts}
        rows = [[0.0, 0.0, 0.0] for _ in present]
        self.reducer.reserve(present, step=step)
        self.clock.at(step, "compute")
        self.reducer.sum_own(present, lambda leaf, slot: self._fill(by_leaf[leaf], slot, rows[leaf]))
        self.clock.at(step, "reduce")
        told = torch.tensor(rows, dtype=torch.float64, device=self.comm.device)
        telling = self.comm.all_reduce(told, name=Name(step, "reduce"))  # exact: each number meets zeros alone
        self.reducer.sum_all(present, step=step)
        telling.wait()
        loss_sums, counts, filled = told.T.tolist()
        self._buffers.move(self.reducer.total, filled, self.comm, step=step)
        return Totals(sum(loss_sums), sum(counts))

    def close(self) -> None:
        """Leave the world in order; every worker closes."""
        self.comm.close()

    def _fill(self, part: Part, slot: Slot, row: list[float]) -> None:
        """One part, micro-batch by micro-batch: gradients and buffer changes to its slot.

        To its row: the sum of the loss, the count, and whether there are samples.
        """
        row[2] = float(len(part) > 0)
        cut = pieces(part, self.micro_batches, self.min_part)
        for number, piece in enumerate(cut):
            outcome = self.engine.gradients(piece, self._destination(slot, add=number > 0))
            row[0] += float(outcome.loss_sum)
            row[1] += float(outcome.count)
            self._buffers.note(outcome, slot, part=part.index, piece=number, pieces=len(cut))

    def _destination(self, slot: Slot, *, add: bool) -> Destination:
        if slot not in self._destinations:
            self._destinations[slot] = (Destination(slot.views), Destination(slot.views, add=True))
        return self._destinations[slot][add]


def refuse_unlike(module: nn.Module, comm: Communicator) -> None:
    """RequestError, on every worker, if some worker's module has other parameters or buffers than rank 0's."""
    tensors = (*module.named_parameters(), *module.named_buffers())
    mine = [f"{name} {tuple(tensor.shape)} {tensor.dtype}" for name, tensor in tensors]
    first, *others = comm.gather_json(mine, name=START)
    for rank, theirs in enumerate(others, start=1):
        if theirs != first:
            expected, found = next(pair for pair in zip_longest(first, theirs) if pair[0] != pair[1])
            raise RequestError("module", f"{found} on rank {rank}", f"{expected} is allowed, as on rank 0")


def from_rank_0(tensor: Tensor, comm: Communicator) -> None:
    """Rank 0's values, on every worker, however the tensor lies in memory."""
    values = tensor.contiguous()
    comm.broadcast(values, name=START).wait()
    if values.data_ptr() != tensor.data_ptr():
        tensor.copy_(values)


def one_of(key: str, name: str, choices: Mapping[str, T]) -> T:
    """The choice of this name."""
    if name not in choices:
        raise RequestError(key, name, f"one of {', '.join(choices)} is allowed", nearest=nearest(name, choices))
    return choices[name]
