"""Every map, as part of a program: whatever its primitives are, they are written, placed and run as torch has them."""

import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Generator, Tensor, nn

from distbp.errors import RequestError
from distbp.maps.check import distance
from distbp.program.program import build
from tests.maps.case import SIZES, Case
from tests.maps.test_map_laws import CASES

TENSORS = {"Tensor", "Optional[Tensor]", "List[Tensor]", "List[Optional[Tensor]]", "Optional[List[Tensor]]"}


class Alone(nn.Module):
    """One op, whose tensors of floating point are parameters."""

    def __init__(self, case: Case, order: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.order = order
        namespace, packet, overload = case.op.split(".")
        self.op = getattr(getattr(getattr(torch.ops, namespace), packet), overload)
        call = case.call(SIZES, seed=3)
        self.names = [a.name for a in self.op._schema.arguments if str(a.type) in TENSORS]
        self.attributes = call.attributes
        self.held = nn.ParameterList()
        self.inputs = [[self._hold(t) for t in x] if isinstance(x, tuple) else self._hold(x) for x in call.inputs]

    def _hold(self, x: Tensor | None) -> int | Tensor | None:
        if x is None or not x.is_floating_point():
            return x
        self.held.append(nn.Parameter(x.clone()))
        return len(self.held) - 1

    def _now(self, x: Any) -> Any:
        if isinstance(x, list):
            return [self._now(item) for item in x]
        return self.order(self.held[x] * 1) if isinstance(x, int) else x

    def forward(self, _: Tensor) -> Any:
        return self.op(**dict(zip(self.names, map(self._now, self.inputs), strict=True)), **self.attributes)


def weighed(output: Any, _target: Any) -> tuple[Tensor, int]:
    """Every element of every output counts, each with a weight of its own."""
    outputs = [output] if isinstance(output, Tensor) else output
    floats = [y for y in outputs if y is not None and y.is_floating_point()]
    weights = [torch.linspace(0.5, 1.5, y.numel(), dtype=y.dtype).view(y.shape) for y in floats]
    return sum(((y * w).sum() for y, w in zip(floats, weights, strict=True)), torch.zeros(())), 1


def backwards(x: Tensor) -> Tensor:
    """``x``, whose elements lie in the reverse order of its dimensions."""
    dims = [*range(x.dim())][::-1]
    return x.permute(dims).contiguous().permute(dims)


def dims(case: Case) -> int:
    return max((x.dim() for x in case.call(SIZES).opened() if x is not None), default=0)


LARGEST: dict[Any, Case] = {}  # of each map for each op the case of most dimensions, and of those the first
for one in sorted(CASES, key=dims, reverse=True):
    LARGEST.setdefault((one.op, one.rule), one)
ATEN = [c for c in LARGEST.values() if not c.op.startswith("distbp.")]
ORDERS = [(c, Tensor.contiguous) for c in ATEN] + [(c, backwards) for c in ATEN if dims(c) > 1]


@pytest.mark.parametrize(("case", "order"), ORDERS, ids=lambda x: x.__name__ if callable(x) else str(x))
def test_a_program_of_one_op_gives_torchs_gradients_from_a_poisoned_arena(
    case: Case, order: Callable[[Tensor], Tensor]
) -> None:
    module = Alone(case, order)
    example, target = torch.zeros(1), torch.zeros(1)
    try:
        expected = torch.autograd.grad(weighed(module(example), None)[0], [*module.held], materialize_grads=True)
        program = build(module, weighed, (example,), target)
    except (RequestError, RuntimeError):
        pytest.skip("torch differentiates or exports no call of this op with these parameters")
    places = {name: torch.full_like(p, float("nan"), requires_grad=False) for name, p in module.named_parameters()}
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("error")  # torch warns of an out= that it has to resize
        for _ in range(2):
            program.run([example, target], places, Generator().manual_seed(5), complete=lambda _: None)
            program.arena.memory.fill_(255)
    if not program.draws:
        for place, gradient in zip(places.values(), expected, strict=True):
            assert distance(place, gradient) < 1e-9
