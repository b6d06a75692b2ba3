"""One data-parallel step: every worker's gradients of its own parts, and their sum on every worker."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from distbp.comm.base import Communicator, Name
from distbp.comm.window import Window, zeros
from distbp.data.order import key, leaves
from distbp.data.part import Part
from distbp.engines.autograd import AutogradEngine
from distbp.engines.base import Begin, Engine, Loss, stateless
from distbp.engines.manual import ManualEngine
from distbp.engines.trainable import refuse_lazy, refuse_replaced, refuse_unfit
from distbp.errors import JobError, RequestError, one_of
from distbp.reduction.compression.base import Make
from distbp.reduction.compression.choice import choices
from distbp.reduction.compression.compressed import Compressed
from distbp.reduction.layout import BLOCK, plan
from distbp.reduction.order import Library, Order, Ordered
from distbp.reduction.reducer import Reducer, Slot
from distbp.reduction.row_reducer import RowReducer
from distbp.reduction.tally import Tally
from distbp.rows import Rows
from distbp.training.carried_state import CarriedState
from distbp.training.clock import Clock
from distbp.training.finite import blame, finite, first_broken, share
from distbp.training.groups import Groups, grouped
from distbp.training.inputs import tensors_of
from distbp.training.joining import TIMEOUT, join_world
from distbp.training.likeness import START, from_rank_0, refuse_unlike
from distbp.training.moving_buffers import MovingBuffers
from distbp.training.own_parts import COLUMNS, OwnParts
from distbp.training.totals import Totals
from distbp.training.touched_rows import TouchedRows
from distbp.training.weight_guard import EVERY, WeightGuard
from distbp.training.weights import Weights

ENGINES: Mapping[str, type[Engine]] = {"manual": ManualEngine, "autograd": AutogradEngine}
ORDERS: Mapping[str, type[Order]] = {"ordered": Ordered, "library": Library}
BUCKET_BYTES = 25 * 2**20


class DataParallel:
    """A module whose gradients are those of the global batch, summed over all workers.

    ``loss(output, target)`` returns ``(sum, count)``, or a mean, whose count is then the number of examples. The
    workers begin with rank 0's weights. From the first call on, the parameters and their gradients are views into
    flat buffers: ``p.grad`` of every trainable parameter holds its gradient after each call, for any optimizer::

        step = distbp.DataParallel(module, nn.CrossEntropyLoss())
        for inputs, target in loader:          # this worker's part; the inputs a tensor or a tuple of them
            loss = step(inputs, target)
            optimizer.step()

    The gradient of an embedding's table that is marked ``sparse=True`` is a sparse tensor, as torch's own is.

    Every ``guard_every`` steps (None: never) the workers compare their weights, and a worker that has drifted is named.
    Without ``comm`` it joins the world that launched the process, or a world of one. Every worker calls it equally
    often; a worker that has nothing left gives a part of no examples. One for which the others wait longer than
    ``timeout`` seconds ends the job: it has to be more than what one worker does alone (an evaluation) takes.
    """

    def __init__(
        self,
        module: nn.Module,
        loss: Loss,
        *,
        engine: str | Engine = "manual",
        reduction: str | Order = "ordered",
        compression: str | Make = "none",
        comm: Communicator | None = None,
        bucket_bytes: int = BUCKET_BYTES,
        micro_batches: int = 1,
        min_part: int = 1,
        begin: Begin = stateless,
        seed: int = 0,
        guard_every: int | None = EVERY,
        groups: Groups | None = None,
        timeout: float = TIMEOUT,
    ) -> None:
        self.module = module
        if getattr(loss, "reduction", "mean") == "sum":
            raise RequestError("loss", loss, "a mean is allowed, or what returns (sum, count)")
        self.engine = engine if isinstance(engine, Engine) else one_of("engine", engine, ENGINES)(module, loss)
        self.comm = comm or join_world(next((p.device.type for p in module.parameters()), "cpu"), timeout)
        self.clock = Clock(self.comm.board)
        self.carried = CarriedState(begin, self.comm)
        self.bucket_bytes = bucket_bytes
        self.micro_batches = micro_batches
        self.min_part = min_part
        self.seed = seed
        self.groups = groups or Groups()
        self.step = 0
        self._order = reduction if isinstance(reduction, Order) else one_of("reduction", reduction, ORDERS)()
        self._make = one_of("compression", compression, choices()) if isinstance(compression, str) else compression
        if self._make and not isinstance(self._order, Ordered):
            raise RequestError("compression", compression, "only reduction=ordered has one")
        self._reducer: Reducer | None = None
        self._rows = RowReducer({}, self.comm)
        self.guard = WeightGuard(module, self.comm, every=guard_every)
        refuse_lazy(module)
        refuse_unlike(module, self.comm)
        for tensor in (*module.parameters(), *module.buffers()):
            from_rank_0(tensor.detach(), self.comm)

    def __call__(self, inputs: Tensor | Sequence[Tensor], target: Any, *, begins: bool = True) -> Tensor:
        """The mean loss over all workers' examples; its gradient is left in every ``p.grad``.   () float32.

        A module that carries a state (``begin``) goes on with it where the samples do not begin. With compression,
        which remembers, a gradient that is no number ends the job.
        """
        rank, size = self.comm.rank, self.comm.size
        if self._reducer is not None:
            refuse_replaced(self.module, {**self._trainable, **self.engine.tables}, self._reducer.total.views)
        part = Part(rank, tensors_of(inputs, target), target, key(self.seed, self.step, rank), begins)
        self.prepare(part)
        assert not self.weights.divided, "where the update is divided, p.grad would be a share"
        totals = self.gradients([part], (True,) * size, step=self.step)
        if self._make and not totals.finite:
            raise self.blame([part], (True,) * size, step=self.step)
        self.step += 1
        for gradient in self.flat_gradients:
            gradient.div_(totals.count or 1)
        for name, parameter in self._trainable.items():
            # zero_grad() may have taken it away; one that has been frozen has none, so that no optimizer moves it
            # a view of its own: module.to() would take the buffer's away
            parameter.grad = self.reducer.total.views[name].detach() if parameter.requires_grad else None
        for name, table in self.engine.tables.items():
            table.grad = (
                self.row_gradients[name].divided(totals.count or 1).sparse(table) if table.requires_grad else None
            )
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
        return self.reducer.total.buffers[: len(self.layouts)]

    @property
    def updated(self) -> list[dict[str, Any]]:
        """What an optimizer works on, by group: flat parameters, and of each sparse table the rows in hand."""
        return grouped([*self.weights.by_group(), *((rows.group, rows.parameter) for rows in self.touched_rows)])

    @property
    def row_gradients(self) -> Mapping[str, Rows]:
        """The gradients of the tables that are marked sparse, by name: of the rows that any worker has looked up."""
        return self._rows.total

    def prepare(self, example: Part) -> None:
        """Lay the parameters out in the order of their emission, once. Only the example's shapes count."""
        if self._reducer is not None:
            return
        refuse_unfit(self.module, self.engine.loss)
        self.engine.prepare(example, self.carried.first(example))
        told = self.comm.gather_json([self.engine.moving or (), self.engine.emissions], name=START)
        self.engine.moving = list(dict.fromkeys(name for names, _ in told for name in names))
        self.engine.emissions = tuple(told[0][1])  # which first batches of different shapes may order differently
        trainable, tables = self.module.named_parameters(), self.engine.tables
        self._trainable = {name: p for name, p in trainable if p.requires_grad and name not in tables}
        self._buffers = MovingBuffers(self.module, self.engine.moving)
        emitted = [(name, self._trainable[name]) for name in self.engine.emissions]
        self.groups.refuse_idle([*self._trainable, *tables])
        lay_out = partial(plan, bucket_bytes=self.bucket_bytes, size=self.comm.size)
        self.layouts = lay_out(emitted, block=BLOCK, group=self.groups.of)
        moving = lay_out(self._buffers.floats.items())
        self._bytes = sum(layout.bytes for layout in self.layouts)
        if self._make:
            self._order = Compressed(self._make, self.layouts, self.comm)
        self._reducer = Reducer(self.layouts + moving, self.comm, self._order)
        self._tally = Tally(COLUMNS, self._order, self.comm)
        self.weights = self._weights_in(Window.private(zeros(self._bytes, self.comm.device), self.comm))
        self._rows = RowReducer(tables, self.comm)
        self._parts = OwnParts(
            self.engine, self._reducer, self._buffers, self._rows, self.carried, self.micro_batches, self.min_part
        )
        self._looked_at = [share(gradient, self.comm) for gradient in self.flat_gradients]
        self.touched_rows = [TouchedRows(*table, self.groups.of(*table)) for table in tables.items()]

    def divide_update(self) -> None:
        """From now on the workers of a node share the update: each has the gradients, and updates, of its share alone.

        ``weights.spread`` follows each update. Collective, and before an optimizer is made of ``updated``.
        """
        self.weights = self._weights_in(self._order.allocate(self._bytes, self.comm, name=START))
        if self.weights.divided:
            self.reducer.scatter(len(self.layouts))
            self._looked_at = self.weights.own(self.flat_gradients)

    def gradients(self, parts: Sequence[Part], present: tuple[bool, ...], *, step: int) -> Totals:
        """The sums over all parts of all workers: of the loss, and of the gradients, undivided, in ``flat_gradients``,
        or of a divided update this worker's shares of them.

        ``parts`` are this worker's, ``present`` says which there are in all. ``row_gradients`` has those of tables.
        """
        self.guard.look(step)
        self._rows.begin()
        self.carried.turn()
        self.reducer.reserve(present, joined=self._parts.joins, step=step)
        self._tally.reserve(len(present), step=step)
        self.clock.at(step, "compute")
        rows = self._parts.sum(parts, present)
        self.clock.at(step, "reduce")
        with np.errstate(all="ignore"):  # what is no number is looked for in the sums, and told there
            self.reducer.sum_all(present, step=step)
            self._rows.sum_all(present, step=step)
        first = leaves(len(present), self.comm.size, self.comm.rank)[0]
        rows[first][3] = not all(map(finite, [*self._looked_at, *(r.values for r in self.row_gradients.values())]))
        rows[first][4] = self.comm.board.asked
        losses, counts, filled, failed, asked = zip(*self._tally.complete(rows, name=Name(step, "reduce")), strict=True)
        totals = Totals(sum(losses), sum(counts), self._order.error, broken=any(failed), stop=any(asked))
        if totals.finite:
            self._buffers.move(self.reducer.total, filled, self.comm, step=step)
        return totals

    def blame(self, parts: Sequence[Part], present: tuple[bool, ...], *, step: int) -> JobError:
        """Whose numbers are none in a step whose totals are not finite: its gradients are computed once more.

        Collective; the weights must be those of the step.
        """
        rows = {name: rows.values for name, rows in self.row_gradients.items()}
        total = first_broken(self.reducer.total.views | rows, [*self.engine.emissions, *rows])
        names: list[str | None] = []

        def look(slot: Slot) -> None:
            names.append(first_broken(slot.views, self.engine.emissions))

        self.reducer.reserve(present, step=step)  # a slot for each part that is looked at
        loss = sum(row[0] for row in self._parts.sum(parts, present, look=look))
        names.append(first_broken(self._rows.noted(), [*rows]))
        return blame(loss, next(filter(None, names), None), total, self.comm, step=step)

    def close(self) -> None:
        """Leave the world in order; every worker closes."""
        self.comm.close()

    def _weights_in(self, window: Window) -> Weights:
        return Weights(self.layouts, self._trainable, self.flat_gradients, window, self.comm)
