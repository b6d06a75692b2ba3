"""The file runs by itself, and what it computes is what torch's tape computes."""

import math
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from distbp.data.part import Part
from distbp.errors import RequestError
from distbp.explain.drawn import batch, fixed
from distbp.explain.explain import Explanation
from distbp.maps.base import Map
from distbp.maps.registry import register_map
from tests.explain.models import MODELS


def run(file: Path) -> dict[str, float]:
    """What the file prints: the loss, and the norms of the gradients by name."""
    command = [sys.executable, "-I", file.name]
    env = {"PYTHONPATH": "", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=file.parent, env=env, capture_output=True, text=True, timeout=100, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    lines = [line.split() for line in done.stdout.splitlines()]
    assert lines[0][0] == "loss"
    return {name: float(number) for name, number in lines}


def trained(module: nn.Module) -> list[str]:
    return [name for name, p in module.named_parameters() if p.requires_grad]


@pytest.mark.parametrize("name", MODELS)
def test_a_file_runs_by_itself(name: str, tmp_path: Path) -> None:
    module, loss, part = MODELS[name]()
    explained = Explanation.of(module, loss, part)
    file = tmp_path / "passes.py"
    file.write_text(explained.standalone())
    assert "distbp" not in file.read_text()
    printed = run(file)
    assert all(map(math.isfinite, printed.values()))
    assert list(printed)[1:] == trained(module)


@pytest.mark.parametrize("name", MODELS)
def test_it_computes_what_the_tape_computes(name: str, tmp_path: Path) -> None:
    module, loss, part = MODELS[name]()
    explained = Explanation.of(module, loss, part)
    file = tmp_path / "passes.py"
    file.write_text(explained.standalone())
    ran = runpy.run_path(str(file), run_name="__main__")
    for name_of, drawn in zip(explained.passes.trace.states.values(), ran["states"], strict=True):
        owner, _, leaf = name_of.rpartition(".")
        getattr(module.get_submodule(owner), leaf).data.copy_(drawn)
    *inputs, target = ran["inputs"]
    found = loss(module(*inputs), target)
    total = found[0] if isinstance(found, tuple) else found * len(target)
    total.backward()
    torch.testing.assert_close(ran["loss_sum"], total.detach())
    for parameter_name, gradient in ran["gradients"].items():
        expected = module.get_parameter(parameter_name).grad
        expected = torch.zeros_like(gradient) if expected is None else expected
        torch.testing.assert_close(gradient, expected, rtol=1e-4, atol=1e-5)


def test_an_op_that_is_not_torchs_has_no_source() -> None:
    op = torch.library.custom_op("distbp_explain::double", twice, mutates_args=())
    op.register_fake(torch.empty_like)

    @register_map("distbp_explain::double")
    class Double(Map):
        """y = 2 x.
        dx = 2 dy
        """

        @staticmethod
        def forward(x: torch.Tensor) -> tuple[torch.Tensor, None]:
            return torch.ops.distbp_explain.double(x), None

        @staticmethod
        def vjp(_: None, d_y: torch.Tensor) -> tuple[torch.Tensor]:
            return (2 * d_y,)

    class Doubled(nn.Linear):
        def forward(self, input: torch.Tensor) -> torch.Tensor:
            y: torch.Tensor = op(super().forward(input))
            return y

    part = Part(0, (torch.randn(2, 3),), torch.randn(2, 3), 0)
    explained = Explanation.of(Doubled(3, 3), nn.MSELoss(), part)
    assert "def backward" in explained.source
    with pytest.raises(RequestError, match=r"distbp_explain.double.default: such a map, in Doubled, has no source"):
        explained.standalone()


def twice(x: torch.Tensor) -> torch.Tensor:
    return x * 2


def test_the_tape_has_no_source() -> None:
    class Special(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(3, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y: torch.Tensor = torch.special.i1(self.fc(x))
            return y

    part = Part(0, (torch.randn(2, 3),), torch.randn(2, 3), 0)
    explained = Explanation.of(Special(), nn.MSELoss(), part, fallback=True)
    with pytest.raises(RequestError, match=r"special_i1.* has no source in torch"):
        explained.standalone()


@pytest.mark.parametrize(
    "tensor",
    [
        torch.tensor(2.5),
        torch.tensor([[1, -2], [3, 4]]),
        torch.tensor([math.inf, -math.inf]),
        torch.zeros(0, 3),
        torch.ones(100, dtype=torch.float64),
        torch.full((50,), -math.inf),
        torch.arange(60).reshape(6, 10),
        torch.ones(9, 9, dtype=torch.bool).tril(),
        torch.ones(2, 9, 9, dtype=torch.bool).triu(),
        torch.full((9, 9), -math.inf).triu(1),
    ],
    ids=str,
)
def test_a_constant_is_written_exactly(tensor: torch.Tensor) -> None:
    made = eval(fixed(tensor), {"torch": torch})
    assert (made.dtype, made.shape) == (tensor.dtype, tensor.shape)
    assert torch.equal(made, tensor)


def test_a_large_constant_is_drawn_from_its_range() -> None:
    for tensor in (torch.rand(99) + 3, torch.randint(5, 9, (99,)), torch.rand(99) < 0.5):
        made = eval(fixed(tensor), {"torch": torch})
        assert (made.dtype, made.shape) == (tensor.dtype, tensor.shape)
        assert (
            tensor.min() - 0.1 <= made.min() <= made.max() <= tensor.max() + 0.1 if made.dtype != torch.bool else True
        )


def test_a_batch_is_drawn_in_the_range_of_the_example() -> None:
    made = eval(batch(torch.tensor([3, 0, 6])), {"torch": torch})
    assert (made.dtype, made.shape) == (torch.int64, (3,))
    assert 0 <= made.min() <= made.max() <= 6
    assert eval(batch(torch.full((500,), -100)), {"torch": torch}).unique().tolist() == [0]
    assert eval(batch(torch.randn(500)), {"torch": torch}).min() < 0
    assert eval(batch(torch.rand(500)), {"torch": torch}).min() >= 0
    assert batch(3) == "3"


def test_columns_have_ranges_of_their_own_and_offsets_stay() -> None:
    made = eval(batch(torch.tensor([[0, 49], [2, 7]]).repeat(300, 1)), {"torch": torch})
    assert made.dtype == torch.int64
    assert made.amax(0).tolist() == [2, 49]
    assert made.amin(0).tolist() == [0, 0]
    offsets = torch.tensor([0, 3, 3, 7])
    assert torch.equal(eval(batch(offsets), {"torch": torch}), offsets)
    assert eval(batch(torch.empty(0, 2, dtype=torch.int64)), {"torch": torch}).shape == (0, 2)
