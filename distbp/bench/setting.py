"""What all contenders of a comparison have in common: where, in what precision, and from which seed they train."""

from dataclasses import dataclass

import torch

from distbp.bench.models.case import Case
from distbp.bench.models.table import build
from distbp.precision import FP32, Precision

CPU = torch.device("cpu")


@dataclass(frozen=True)
class Setting:
    """``seed`` is of weights and batch."""

    seed: int
    precision: Precision = FP32
    device: torch.device = CPU

    def case(self, model: str, *, batch: int | None = None) -> Case:
        """The model of this name on the device, with a batch there."""
        return build(model, seed=self.seed, batch=batch).on(self.device)

    def settle(self) -> None:
        """Wait until the device has done what it was given."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
