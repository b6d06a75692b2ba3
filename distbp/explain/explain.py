"""What ``distbp explain`` says of one module, its loss and the shape of its parts."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from distbp.data.part import Part, State
from distbp.engines.base import Loss
from distbp.engines.tables import sparse_tables
from distbp.explain.buckets import buckets
from distbp.explain.standalone import standalone
from distbp.explain.table import table
from distbp.precision import FP32, Precision
from distbp.program.program import Delivery, Passes, Program, build


@dataclass(frozen=True)
class Explanation:
    """A program, and the two passes of it that are shown."""

    program: Program
    passes: Passes
    leaves: tuple[Any, ...]  # of the example that it was built for
    device: torch.device

    @classmethod
    def of(
        cls,
        module: nn.Module,
        loss: Loss,
        example: Part,
        state: State = (),
        *,
        fallback: bool = False,
        precision: Precision = FP32,
    ) -> "Explanation":
        """The program that the manual engine runs. Raises RequestError for a model that has none."""
        program = build(
            module,
            loss,
            example.inputs,
            example.target,
            state=state,
            fallback=fallback,
            outputs=False,
            tables=sparse_tables(module),
            precision=precision,
        )
        device = example.inputs[0].device
        passes = program.passes(program.contiguous(device), Delivery.WRITTEN)
        return cls(program, passes, (*example.leaves(), *state), device)

    @property
    def source(self) -> str:
        """The generated Python."""
        return self.passes.source

    def table(self, *, bucket_bytes: int) -> str:
        """The table of the mappings."""
        return table(self.program, self.passes, buckets(self.program, bucket_bytes=bucket_bytes))

    def standalone(self) -> str:
        """The source as a file that runs by itself. RequestError where it calls what is not torch's."""
        return standalone(self.program, self.passes, self.leaves, self.device)
