"""Gradients that many parts draw, and their compressed sums, step by step."""

import hashlib

import torch
from torch import Tensor

from distbp.comm.base import Communicator
from distbp.reduction.compression.choice import choices
from distbp.reduction.compression.compressed import Compressed
from distbp.reduction.layout import plan
from distbp.reduction.reducer import Reducer

KINDS = ["bf16", "fp16", "int8", "powersgd", "topk"]
SETTINGS = {"rank": 2, "fraction": 0.05}
SHAPES = {"conv": (16, 3, 3, 3), "scalar": (), "weight": (60, 31), "empty": (0, 4), "bias": (13,)}
MEAN = "mean"  # a moving buffer: it is summed in full


class Sums:
    """The sums of what parts draw for tensors of these shapes, on one worker of a communicator."""

    def __init__(
        self,
        comm: Communicator,
        kind: str,
        *,
        dtype=torch.float64,
        shapes=SHAPES,
        bucket_bytes=4000,
        fraction=SETTINGS["fraction"],
    ) -> None:
        self.dtype = dtype
        tensors = [(name, torch.empty(shape, dtype=dtype)) for name, shape in shapes.items()]
        gradients = plan(tensors, bucket_bytes=bucket_bytes, size=comm.size)
        moving = plan([(MEAN, torch.empty(7, dtype=dtype))], bucket_bytes=bucket_bytes, size=comm.size)
        self.shapes = {**shapes, MEAN: (7,)}
        self.order = Compressed(choices(rank=SETTINGS["rank"], fraction=fraction)[kind], gradients, comm)
        self.reducer = Reducer(gradients + moving, comm, self.order)

    def step(self, number: int, present=(True,), *, count: float = 1.0, gradient=None) -> dict[str, Tensor]:
        """The sums of step ``number``, by name; ``gradient(step, part, name, shape)`` draws."""
        draw = gradient or drawn
        self.reducer.reserve(present, step=number)

        def fill(part, slot):
            for name, view in slot.views.items():
                view.copy_(draw(number, part, name, self.shapes[name]))
            self.order.take(part, slot.buffers, torch.tensor(count))

        self.reducer.sum_own(present, fill)
        self.reducer.sum_all(present, step=number)
        return {name: view.clone() for name, view in self.reducer.total.views.items()}


def drawn(step: int, part: int, name: str, shape) -> Tensor:
    """Magnitudes far apart, so that a sum shows its order."""
    draws = torch.Generator().manual_seed(1000 * step + 10 * part + sum(name.encode()))
    magnitudes = 2.0 ** torch.randint(-4, 5, shape, generator=draws)
    return torch.randn(shape, generator=draws, dtype=torch.float64) * magnitudes


def owed(state: dict[str, Tensor], name: str) -> Tensor:
    """What all parts, and the sum, owe of a tensor."""
    return sum(value for key, value in state.items() if key.startswith("owed/") and key.split("/")[2] == name)


def digest(sums: list[dict[str, Tensor]]) -> str:
    """The bits of some steps' sums."""
    total = hashlib.sha256()
    for each in sums:
        for name in sorted(each):
            total.update(each[name].numpy().tobytes())
    return total.hexdigest()
