"""A linear map read by a cross entropy alone: chunk by chunk, it is what torch makes of the two."""

from typing import Any

import pytest
import torch
from torch import Generator, Tensor
from torch._subclasses import FakeTensorMode
from torch.nn.functional import cross_entropy, linear
from torch.utils._python_dispatch import TorchDispatchMode

from distbp.maps import cross_entropy as maps
from distbp.maps.check import Call, distance, tape_error, transpose_error, turn_error

RULE = maps.LinearCrossEntropy
EXAMPLES, FEATURES, CLASSES = 40, 5, 7  # three chunks, of 16, 16 and 8 rows


@pytest.fixture(autouse=True)
def _smallest_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(maps, "CHUNK_BYTES", 0)


def _call(*, bias: bool, weighted: bool, reduction: int, rows: int = EXAMPLES, seed: int = 0) -> Call:
    generator = Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    labels = torch.randint(-1, CLASSES, (rows // 2, 2), generator=generator)
    labels[0] = 0
    x, W = normal(rows // 2, 2, FEATURES), normal(CLASSES, FEATURES)
    b, weight = normal(CLASSES) if bias else None, normal(CLASSES).abs() if weighted else None
    return Call(RULE, [x, W, b, labels, weight], {"reduction": reduction, "ignore_index": -1})


ALL = pytest.mark.parametrize(
    "told", [{"bias": b, "weighted": w, "reduction": r} for b in (True, False) for w in (True, False) for r in (1, 2)]
)


def _torch(call: Call) -> tuple[Tensor, list[Tensor]]:
    x, W, b, labels, weight = call.inputs
    leaves = [t.detach().requires_grad_() for t in (x, W, b) if t is not None]
    scores = linear(*leaves).flatten(0, -2)
    reduction = ("none", "mean", "sum")[call.attributes["reduction"]]
    loss = cross_entropy(scores, labels.flatten(), weight, ignore_index=-1, reduction=reduction)
    return loss.detach(), list(torch.autograd.grad(loss * 0.7, leaves))


@ALL
def test_the_two_at_once_are_torchs_two(told: dict[str, Any]) -> None:
    call = _call(**told)
    loss, gradients = _torch(call)
    d_l = torch.full((), 0.7, dtype=torch.float64)
    outputs, formed = call.turn([d_l])
    assert distance(outputs[0], loss) < 1e-14
    assert [*formed] == [i for i, x in enumerate(call.inputs[:3]) if x is not None]
    assert max(distance(d, t) for d, t in zip(formed.values(), gradients, strict=True)) < 1e-13


@ALL
def test_the_laws_hold_over_several_chunks(told: dict[str, Any]) -> None:
    call = _call(**told)
    assert transpose_error(call) < 1e-7
    assert tape_error(call) < 1e-12
    assert turn_error(call) < 1e-13


@pytest.mark.parametrize("rows", [2, 16, 18, 32, 64])
def test_the_chunks_cover_the_rows_once(rows: int) -> None:
    call = _call(bias=True, weighted=False, reduction=1, rows=rows)
    loss, gradients = _torch(call)
    outputs, formed = call.turn([torch.full((), 0.7, dtype=torch.float64)])
    assert distance(outputs[0], loss) < 1e-14
    assert max(distance(d, t) for d, t in zip(formed.values(), gradients, strict=True)) < 1e-13


def test_an_improbable_label_has_a_finite_loss() -> None:
    x, W = torch.tensor([[1000.0]]), torch.tensor([[1.0], [-1.0]])
    loss, _ = RULE.forward(x, W, None, torch.tensor([1]))
    assert float(loss) == 2000


def test_the_program_may_be_seen_without_numbers_and_holds_no_table_of_all_scores() -> None:
    shapes: list[torch.Size] = []

    class Seen(TorchDispatchMode):  # type: ignore[no-untyped-call]
        def __torch_dispatch__(self, op: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            y = op(*args, **(kwargs or {}))
            shapes.extend(t.shape for t in (y if isinstance(y, tuple | list) else [y]) if isinstance(t, Tensor))
            return y

    call = _call(bias=True, weighted=True, reduction=1)
    with torch.no_grad(), FakeTensorMode() as mode, Seen():  # type: ignore[no-untyped-call]
        x, W, b, labels, weight = [mode.from_tensor(x) for x in call.inputs]
        RULE.turn(torch.empty((), dtype=torch.float64), x, W, b, labels, weight, **call.attributes)
    assert torch.Size([16, CLASSES]) in shapes
    assert all(shape.numel() < EXAMPLES * CLASSES for shape in shapes)
