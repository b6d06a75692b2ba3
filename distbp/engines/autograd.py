"""The autograd engine: the module runs on torch's tape, whatever it is made of."""

import threading
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import torch
from torch import Generator, Tensor, nn

from distbp.data.part import Part, State
from distbp.engines.base import Destination, Engine, Loss, Metrics, Outcome
from distbp.engines.buffers import Buffers
from distbp.engines.empty import is_empty, leave_zeros
from distbp.engines.tables import rows_of, sparse_tables
from distbp.engines.trainable import refuse_joined, refuse_moved, refuse_unmovable, refuse_written
from distbp.precision import FP32, Precision
from distbp.program.sum_loss import SumLoss
from distbp.rows import Rows

_GLOBAL_GENERATOR = threading.Lock()  # ranks may be threads of one process: they take turns at the forward pass


class AutogradEngine(Engine):
    """Runs the module and its loss on torch's tape, and copies each gradient once to where it travels from.

    A module draws from torch's global generator: for the forward pass that is seeded by ``part.draws``, and put back.
    The gradients exist together when the tape has run back; they complete in the reverse order of registration. A
    parameter that is frozen after ``prepare`` has zeros, one that is trainable only then is refused.
    """

    name = "autograd"

    def __init__(
        self, module: nn.Module, loss: Loss, *, metrics: Metrics | None = None, precision: Precision = FP32
    ) -> None:
        super().__init__(module, loss, metrics=metrics, precision=precision)
        self._whole = SumLoss(module, loss, precision)
        self._settle()
        self._buffers = Buffers(module, loss)
        self._metric_sums: Mapping[str, Tensor] = {}

    def _settle(self) -> None:
        """Which parameters have gradients; they complete in the reverse order of registration."""
        named = [*self.module.named_parameters()]
        self.tables = sparse_tables(self.module)
        self._parameters = {n: p for n, p in reversed(named) if p.requires_grad and n not in self.tables}
        self._frozen = {name: p for name, p in named if not p.requires_grad}
        self.emissions = tuple(self._parameters)

    def prepare(self, example: Part, state: State = ()) -> None:
        """Find out which buffers a training pass changes; the tape itself is made anew for every part."""
        self._settle()
        self.moving = ()
        if len(self._buffers) and not is_empty(example):
            with self._buffers.probed() as moved, _draws(example), torch.no_grad(), self._autocast(example):
                self._whole(example.inputs, example.target, state)
            refuse_unmovable(moved, self.module)
            self.moving = tuple(moved)

    def gradients(self, part: Part, destination: Destination, state: State = ()) -> Outcome:
        """The part's gradients, into ``destination``; all complete at the end, in the order of ``emissions``."""
        if is_empty(part):
            return leave_zeros(self.emissions, destination, self._metric_sums, state)
        refuse_joined(name for name, p in self._frozen.items() if p.requires_grad)
        before = self._buffers.copy(self.moving)
        marks, written = self._buffers.marks(), self._versions()
        with _draws(part), torch.enable_grad(), self._autocast(part):
            loss_sum, count, output, after = self._whole(part.inputs, part.target, state)
        refuse_written(name for name, version in self._versions().items() if version != written[name])
        refuse_moved(name for name in self._buffers.changed(marks) if name not in before)
        rows = self._deliver(loss_sum, destination)
        with torch.no_grad():
            if self.metrics is not None:
                self._metric_sums = self.metrics(output, part.target)
        deltas = self._buffers.restore(before)
        state = tuple(tensor.detach() for tensor in after)
        return Outcome(loss_sum.detach(), count, self._metric_sums, deltas, state=state, rows=rows)

    def _versions(self) -> dict[str, int]:
        """How often each parameter has been written."""
        named = (*self._parameters.items(), *self._frozen.items(), *self.tables.items())
        return {name: parameter._version for name, parameter in named}

    def _autocast(self, part: Part) -> AbstractContextManager[Any]:
        return self.precision.autocast(part.inputs[0].device)

    def _deliver(self, loss_sum: Tensor, destination: Destination) -> dict[str, Rows]:
        """Run the tape back, then copy or add each gradient into its place. A parameter that is not used has zeros.

        The gradients of tables are returned.
        """
        trainable = {n: p for n, p in (*self._parameters.items(), *self.tables.items()) if p.requires_grad}
        formed: dict[str, Tensor | None] = {}
        if loss_sum.requires_grad and trainable:
            # torch knows a seed of one; the shape of one that is given it compares by symbolic shapes, slow to load
            seed = None if self.scale == 1 else torch.full_like(loss_sum, self.scale)
            gradients = torch.autograd.grad(loss_sum, [*trainable.values()], seed, allow_unused=True)
            formed = dict(zip(trainable, gradients, strict=True))
        for name in self.emissions:
            _put(formed.get(name), destination.gradients[name], add=destination.add)
            destination.complete(name)
        found = ((name, formed.get(name)) for name in self.tables)
        return {name: rows_of(name, gradient) for name, gradient in found if gradient is not None}


def _put(gradient: Tensor | None, place: Tensor, *, add: bool) -> None:
    if gradient is not None:
        gradient = gradient.to_dense() if gradient.is_sparse else gradient
        place.add_(gradient) if add else place.copy_(gradient)
    elif not add:
        place.zero_()


@contextmanager
def _draws(part: Part) -> Iterator[None]:
    """torch's global generators seeded for this part alone."""
    with _GLOBAL_GENERATOR:
        generators = [_global_generator(device) for device in {x.device for x in part.inputs}]
        states = [generator.get_state() for generator in generators]
        try:
            for generator in generators:
                generator.manual_seed(part.draws)
            yield
        finally:
            for generator, state in zip(generators, states, strict=True):
                generator.set_state(state)


def _global_generator(device: torch.device) -> Generator:
    return torch.cuda.default_generators[device.index or 0] if device.type == "cuda" else torch.default_generator
