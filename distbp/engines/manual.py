"""The manual engine: the backward pass is a program of maps, written out in Python before the first step."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Generator, Tensor, nn

from distbp.data.part import Part, State
from distbp.engines.base import Destination, Engine, Loss, Metrics, Outcome
from distbp.engines.empty import is_empty, leave_zeros
from distbp.engines.settings import Settings
from distbp.engines.tables import rows_by_table, sparse_tables
from distbp.engines.trainable import refuse_joined, refuse_unmovable
from distbp.errors import RequestError
from distbp.precision import FP32, Precision
from distbp.program.arena import Arena
from distbp.program.export import MODULES
from distbp.program.program import Program, build

UNUSED = Generator()
KEPT = 8  # settings whose programs are kept
Key = tuple[Any, ...]


class ManualEngine(Engine):
    """Runs a Program, lowered once for every shape, dtype and mode that it meets.

    A program also belongs to what the module's attributes hold (Settings): where a dropout's p or another plain
    attribute changes, or another tensor is put into one, the next call lowers anew, and the programs of the last few
    values are kept. What changes at every step belongs in a buffer, or in a tensor that is changed in place. Not seen:
    an attribute that the module got after the engine was made, numbers within lists, dictionaries and other objects (a
    model's ``config``), globals, and hooks or submodules put in later.

    Which parameters are trainable is settled when the first part is seen: one that is frozen later has zeros, one that
    is trainable only later is refused. ``fallback="autograd"`` lets torch differentiate the ops that have no map.
    Dropout draws as nn.Dropout does on a CPU after ``torch.manual_seed(part.draws)``, and leaves torch's global
    generator alone. Engines in several threads may share a module, which nobody else reads while one prepares.
    """

    name = "manual"

    def __init__(
        self,
        module: nn.Module,
        loss: Loss,
        *,
        metrics: Metrics | None = None,
        precision: Precision = FP32,
        fallback: Literal["none", "autograd"] = "none",
    ) -> None:
        super().__init__(module, loss, metrics=metrics, precision=precision)
        self._fallback = fallback == "autograd"
        self._modules = [*module.modules(), *(loss.modules() if isinstance(loss, nn.Module) else ())]
        self._parameters = [m._parameters for m in self._modules if m._parameters]
        self._buffers = [m._buffers for m in self._modules if m._buffers]
        self._settings = Settings(self._modules)
        self._programs: dict[Key, Program] = {}
        self._arena = Arena()
        self._seen: Program | None = None
        self._generators: dict[torch.device, Generator] = {}
        self._metric_sums: Mapping[str, Tensor] = {}
        self._apart: dict[str, Tensor] = {}  # gradients that join others once they are whole

    @property
    def source(self) -> str:
        """The Python source of the first program: its forward and its backward pass."""
        return self._first.source

    @property
    def _first(self) -> Program:
        assert self._seen is not None, "prepare the engine first"
        return self._seen

    def prepare(self, example: Part, state: State = ()) -> None:
        """Lower the program for parts of this shape. Raises RequestError for a model that has none."""
        if self._seen is None:
            self.tables = sparse_tables(self.module)
        self._program(example, [*example.leaves(), *state], state)

    def gradients(self, part: Part, destination: Destination, state: State = ()) -> Outcome:
        """The part's gradients, into ``destination``; ``complete`` is called in the order of ``emissions``."""
        if is_empty(part):
            return leave_zeros(self.emissions, destination, self._metric_sums, state)
        leaves = [*part.leaves(), *state]
        program = self._program(part, leaves, state)
        ordered = program.emissions == self.emissions
        complete = destination.complete if ordered else _later
        with torch.no_grad():
            ran = program.run(
                leaves,
                destination.gradients,
                self._seeded(program, part),
                add=destination.add,
                apart=self._apart if destination.join else None,
                complete=complete,
                scale=self.scale,
            )
            if self.metrics is not None:
                self._metric_sums = self.metrics(ran.output, part.target)
            rows = rows_by_table(ran.rows)
        if not ordered:
            self._complete(program, destination)
        return Outcome(ran.loss_sum, ran.count, self._metric_sums, ran.changes, state=ran.state, rows=rows)

    def _complete(self, program: Program, destination: Destination) -> None:
        """Every gradient, after a program whose order is another, or that forms fewer as parameters are frozen."""
        formed = set(program.emissions)
        for name in self.emissions:
            if name not in formed and not destination.add:
                destination.gradients[name].zero_()
            destination.complete(name)

    def _program(self, part: Part, leaves: Sequence[Any], state: State) -> Program:
        if torch.is_autocast_enabled(part.inputs[0].device.type):
            allowed = "engine=autograd follows torch.autocast; a program has the precision that its engine is made with"
            raise RequestError("engine", "manual", f"within torch.autocast: {allowed}")
        try:
            program = self._programs.get(key := self._key(leaves))
        except (KeyError, TypeError):  # an attribute has been deleted, or holds a list by now
            self._settings = Settings(self._modules)
            program = self._programs.get(key := self._key(leaves))
        if program is None:
            outputs = self.metrics is not None
            program = build(
                self.module,
                self.loss,
                part.inputs,
                part.target,
                state=state,
                fallback=self._fallback,
                outputs=outputs,
                tables=self.tables,
                precision=self.precision,
                arena=self._arena,
            )
            self._keep(key, program)
        return program

    def _key(self, leaves: Sequence[Any]) -> Key:
        """What a program depends on: how the part looks, what the attributes hold, which parameters are trainable, and
        which parameters and buffers there are: None may have been put into the place of one, or one into its.
        """
        with MODULES:
            trainable = [None if p is None else p.requires_grad for held in self._parameters for p in held.values()]
            absent = [b is None for held in self._buffers for b in held.values()]
        return self._settings.now(), tuple(trainable), tuple(absent), *map(_look, leaves)

    def _keep(self, key: Key, program: Program) -> None:
        """Keep a program, and with it those of the last few settings."""
        if self._seen is None:
            self._seen, self.emissions = program, program.emissions  # an order that later programs keep
        refuse_joined(name for name in program.emissions if name not in self.emissions)
        refuse_unmovable(program.moving, self.module)
        settings = dict.fromkeys(kept[0] for kept in self._programs)
        if key[0] not in settings and len(settings) >= KEPT:
            oldest = {next(iter(settings))}
            self._programs = {kept: p for kept, p in self._programs.items() if kept[0] not in oldest}
        self._programs[key] = program
        self.moving = list(dict.fromkeys((*(self.moving or ()), *program.moving)))

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
