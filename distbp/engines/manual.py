"""The manual engine: the backward pass is a program of maps, written out in Python before the first step."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Generator, Tensor, nn

from distbp.data.part import Part
from distbp.engines.base import Destination, Engine, Loss, Metrics, Outcome
from distbp.engines.empty import is_empty, leave_zeros
from distbp.engines.tables import rows_by_table
from distbp.program.program import Program, build

UNUSED = Generator()


class ManualEngine(Engine):
    """Runs a Program, lowered once for every shape, dtype and mode that it meets.

    ``fallback="autograd"`` lets torch differentiate the ops that have no map. Which parameters are trainable is settled
    when a shape is first met. Dropout draws as nn.Dropout does on a CPU after ``torch.manual_seed(part.draws)``, and
    leaves torch's global generator alone.
    """

    name = "manual"

    def __init__(
        self,
        module: nn.Module,
        loss: Loss,
        *,
        metrics: Metrics | None = None,
        fallback: Literal["none", "autograd"] = "none",
    ) -> None:
        super().__init__(module, loss, metrics=metrics)
        self._fallback = fallback == "autograd"
        self._modules = list(module.modules())
        self._programs: dict[Any, Program] = {}
        self._generators: dict[torch.device, Generator] = {}
        self._metric_sums: Mapping[str, Tensor] = {}

    @property
    def emissions(self) -> Sequence[str]:
        """The order in which the gradients complete: that of the first program, which later ones keep."""
        return self._first.emissions

    @property
    def source(self) -> str:
        """The Python source of the first program: its forward and its backward pass."""
        return self._first.source

    @property
    def _first(self) -> Program:
        assert self._programs, "prepare the engine first"
        return next(iter(self._programs.values()))

    def prepare(self, example: Part) -> None:
        """Lower the program for parts of this shape. Raises RequestError for a model that has none."""
        self._program(example, example.leaves())

    def gradients(self, part: Part, destination: Destination, state: Any = None) -> Outcome:
        """The part's gradients, into ``destination``; ``complete`` is called in the order of ``emissions``."""
        if is_empty(part):
            return leave_zeros(self.emissions, destination, self._metric_sums)
        leaves = part.leaves()
        program = self._program(part, leaves)
        ordered = program.emissions == self.emissions
        complete = destination.complete if ordered else _later
        with torch.no_grad():
            ran = program.run(
                leaves, destination.gradients, self._seeded(program, part), add=destination.add, complete=complete
            )
            if self.metrics is not None:
                self._metric_sums = self.metrics(ran.output, part.target)
            rows = rows_by_table(ran.rows)
        if not ordered:
            for name in self.emissions:
                destination.complete(name)
        return Outcome(ran.loss_sum, ran.count, self._metric_sums, ran.changes, state=state, rows=rows)

    def _program(self, part: Part, leaves: Sequence[Any]) -> Program:
        key = tuple(map(_look, leaves)), tuple(module.training for module in self._modules)
        program = self._programs.get(key)
        if program is None:
            outputs = self.metrics is not None
            program = build(
                self.module,
                self.loss,
                part.inputs,
                part.target,
                fallback=self._fallback,
                outputs=outputs,
                tables=self.tables,
            )
            self.moving = list(dict.fromkeys((*(self.moving or ()), *program.moving)))
            self._programs[key] = program
        return program

    def _seeded(self, program: Program, part: Part) -> Generator:
        if not program.draws:
            return UNUSED
        device = part.inputs[0].device
        if device not in self._generators:
            self._generators[device] = Generator(device)
        return self._generators[device].manual_seed(part.draws)


def _look(leaf: Any) -> Any:
    """What a program depends on in one of its inputs: a constant is its own value."""
    return (leaf.shape, leaf.dtype, leaf.device) if isinstance(leaf, Tensor) else leaf


def _later(_name: str) -> None:
    """Nothing: the engine announces the gradients itself."""
