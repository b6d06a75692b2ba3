"""A module and its loss, held to every law on one part of a batch."""

import copy
from collections.abc import Iterator

from torch import nn

from distbp.check import failure, maps, model, rounding, workers
from distbp.check.failure import settled
from distbp.check.finding import Finding
from distbp.check.interpreter import Interpreter
from distbp.check.poison import PoisonedProgram
from distbp.check.reference import Reference, drawn, of_calls, of_module
from distbp.check.widened import in_float64, narrow, widened
from distbp.data.part import Part
from distbp.engines.base import Loss
from distbp.engines.tables import sparse_tables
from distbp.engines.trainable import refuse_untrainable
from distbp.precision import FP32, Precision
from distbp.program.program import Program, build
from distbp.training.evaluation import evaluating

LAWS = {**maps.LAWS, **failure.LAWS, **model.LAWS, **rounding.LAWS, **workers.LAWS}
Section = tuple[str, list[Finding]]


class Check:
    """What the manual engine would run for ``loss(module(*part.inputs), part.target)``, examined in float64.

    A program that draws random numbers is compared with its own calls on torch's tape, which draw alike, and once more
    with the module itself in evaluation mode, if it draws none then. ``precision`` casts nothing in float64: what it
    casts counts where the program is examined in its own dtype. Raises RequestError for a model without a program.
    """

    def __init__(
        self, module: nn.Module, loss: Loss, part: Part, *, fallback: bool = False, precision: Precision = FP32
    ) -> None:
        refuse_untrainable(module)
        self.given = copy.deepcopy(module), loss, part
        self.wide = widened(module, loss, part)
        self.fallback = fallback
        self.precision = precision
        self.program = self._exact_program()
        self.twin = Interpreter(self.program.graph, self.program.plan)

    def sections(self) -> Iterator[Section]:
        """What is examined, under its title, one after the other."""
        module, _, part = self.wide
        yield "every mapping, alone", list(maps.findings(self.twin, part.leaves(), drawn(part)))
        if not self.program.draws:
            yield "the program", self._model(self.program, self._exact())
            yield from self._rounding()
            return
        yield "the program", self._model(self.program, of_calls(module, self.twin))
        with evaluating(module), evaluating(self.given[0]):
            program = self._exact_program()
            if not program.draws:
                yield "the program, in evaluation mode", self._model(program, self._exact())
                yield from self._rounding()

    def findings(self) -> Iterator[Finding]:
        """All findings."""
        for _, found in self.sections():
            yield from found

    def _model(self, program: Program, reference: Reference) -> list[Finding]:
        poisoned = PoisonedProgram(program.graph, fallback=self.fallback, tables=program.tables)
        return settled(model.findings(self.wide[0], program, poisoned, reference, self.wide[2]))

    def _rounding(self) -> Iterator[Section]:
        module, loss, part = self.given
        if narrow(module):
            exact = self._exact().taped(self.wide[2]).gradients
            program, reference = self._build(*self.given), of_module(module, loss, self.precision)
            yield "the program, in its own dtype", settled(rounding.findings(module, program, reference, part, exact))

    def _build(self, module: nn.Module, loss: Loss, part: Part) -> Program:
        inputs, tables = part.inputs, sparse_tables(module)
        return build(
            module,
            loss,
            inputs,
            part.target,
            fallback=self.fallback,
            outputs=False,
            tables=tables,
            precision=self.precision,
        )

    def _exact(self) -> Reference:
        """The module itself, in float64."""
        return of_module(*self.wide[:2], within=in_float64)

    def _exact_program(self) -> Program:
        """Its program, for the mode that it is in."""
        with in_float64():
            return self._build(*self.wide)
