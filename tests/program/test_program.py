"""What a program is: source that a person can read, stored beside this test; and where it points when it fails."""

import ast
import traceback
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from distbp.program.program import Program, build

HERE = Path(__file__).parent


class Tiny(nn.Module):
    """A little of everything: a tied weight, a residual, dropout, a frozen bias, a parameter that nothing uses."""

    def __init__(self) -> None:
        super().__init__()
        self.encode = nn.Linear(4, 3)
        self.body = nn.Sequential(nn.Linear(3, 3), nn.ReLU(), nn.Dropout(0.25))
        self.decode = nn.Linear(3, 4, bias=False)
        self.decode.weight = nn.Parameter(torch.zeros(4, 3))
        self.again = nn.Linear(3, 3)
        self.again.weight = self.body[0].weight
        self.again.bias.requires_grad_(False)
        self.spare = nn.Parameter(torch.zeros(2))

    def forward(self, x: Tensor) -> Tensor:
        h = torch.tanh(self.encode(x.flatten(1)))
        h = h + self.body(h)
        return self.decode(self.again(h))


def loss(output: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    return F.cross_entropy(output, target, reduction="sum", ignore_index=3), (target != 3).sum()


def _program(module: nn.Module) -> Program:
    return build(module, loss, (torch.zeros(5, 2, 2),), torch.zeros(5, dtype=torch.int64))


def test_the_source_of_a_tiny_model_reads_like_this() -> None:
    """After a change that is meant, write what this prints to tiny.txt, and read it as a stranger would."""
    source = _program(Tiny()).source
    assert source == (HERE / "tiny.txt").read_text(), source


def test_a_model_has_one_source() -> None:
    """Sets have the order of the addresses of their members, and two norms have means that lie alike."""
    norms = [nn.BatchNorm1d(4), nn.BatchNorm1d(4, affine=False)]
    module = nn.Sequential(nn.Flatten(), nn.Linear(4, 4), *norms, nn.Linear(4, 4))
    assert len({_program(module).source for _ in range(6)}) == 1


def test_the_source_is_python_without_a_branch_and_imports_torch_alone() -> None:
    tree = ast.parse(_program(Tiny()).source)
    assert not any(isinstance(node, ast.If | ast.For | ast.While | ast.Try) for node in ast.walk(tree))
    imports = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    assert [ast.unparse(node) for node in imports] == ["import torch"]


def test_the_source_alone_gives_the_gradients() -> None:
    """Nothing is hidden: the text, executed by hand with an arena of one's own, is the whole of both passes."""
    module = Tiny()
    program = _program(module)
    functions: dict[str, Any] = {}
    exec(program.source, functions)
    inputs = [torch.randn(5, 2, 2), torch.tensor([0, 1, 2, 3, 0])]
    state = {name: p.detach() for name, p in module.named_parameters()}
    ours, theirs = ({name: torch.empty_like(p) for name, p in state.items()} for _ in range(2))
    names = ["spare", "encode.weight", "encode.bias", "body.0.weight", "body.0.bias", "decode.weight", "again.bias"]
    trainable = names[:-1]
    forward, backward = functions["passes"](
        torch.empty(4096, dtype=torch.uint8), [state[n] for n in names], [ours[n] for n in trainable], []
    )
    order: list[str] = []
    forward(inputs, Generator().manual_seed(1))
    loss_sum, count, *_ = backward(torch.ones(()), order.append)
    with torch.no_grad():
        total = program.run(inputs, theirs, Generator().manual_seed(1), complete=lambda _: None).loss_sum
    assert torch.equal(loss_sum, total)
    assert int(count) == 4
    assert order == list(program.emissions)
    assert all(torch.equal(ours[n], theirs[n]) for n in trainable)


def test_a_traceback_shows_the_generated_line() -> None:
    program = _program(Tiny())
    places = {name: torch.empty_like(p, requires_grad=False) for name, p in Tiny().named_parameters()}
    inputs = [torch.zeros(5, 3, 3), torch.zeros(5, dtype=torch.int64)]
    with pytest.raises(RuntimeError) as failed:
        program.run(inputs, places, Generator(), complete=lambda _: None)
    text = "".join(traceback.format_exception(failed.value))
    assert "flatten = inputs_0.view([5, 4])" in text
    assert "<distbp Tiny" in text


def test_emissions_are_the_trainable_parameters_each_once() -> None:
    module = Tiny()
    emissions = _program(module).emissions
    assert sorted(emissions) == sorted(name for name, p in module.named_parameters() if p.requires_grad)
    assert emissions[0] == "spare"
    assert emissions.index("decode.weight") < emissions.index("body.0.weight") < emissions.index("encode.weight")


def test_values_keep_apart_whatever_modules_are_called() -> None:
    """Names that are Python's, the source's or each other's."""

    class Names(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            for name in ("into", "saved", "class_", "d_loss", "Linear", "linear", "fc_weight", "complete", "torch"):
                self.add_module(name, nn.Linear(4, 4))
            self.add_module("fc", nn.Linear(4, 4))

        def forward(self, x: Tensor) -> Tensor:
            for module in self.children():
                x = module(x)
            return x

    torch.manual_seed(0)
    module = Names()
    program = build(module, loss, (torch.zeros(5, 4),), torch.zeros(5, dtype=torch.int64))
    x, target = torch.randn(5, 4), torch.tensor([0, 1, 2, 3, 0])
    places = {name: torch.empty_like(p, requires_grad=False) for name, p in module.named_parameters()}
    with torch.no_grad():
        program.run([x, target], places, Generator(), complete=lambda _: None)
    loss(module(x), target)[0].backward()
    assert all(torch.allclose(places[name], p.grad) for name, p in module.named_parameters() if p.grad is not None)


class InPlace(nn.Module):
    """Changes values in place that were read before, and reads them after."""

    def __init__(self, *, view: bool) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(4, 4), nn.Linear(4, 4)
        self.view = view

    def forward(self, x: Tensor) -> Tensor:
        h = self.first(x)
        before = h * 2
        h += 1
        (h.view(-1) if self.view else h).relu_()
        return self.last(h + before)


def test_ops_in_place_become_values_of_their_own() -> None:
    module, target = InPlace(view=False).double(), torch.tensor([0, 1, 2, 3, 0])
    x = torch.randn(5, 4, dtype=torch.float64)
    program = build(module, loss, (x,), target)
    places = {name: torch.empty_like(p, requires_grad=False) for name, p in module.named_parameters()}
    with torch.no_grad():
        program.run([x, target], places, Generator(), complete=lambda _: None)
    loss(module(x), target)[0].backward()
    assert all(torch.allclose(places[name], p.grad) for name, p in module.named_parameters() if p.grad is not None)


def test_what_was_changed_in_place_as_a_view_is_not_read_any_more() -> None:
    with pytest.raises(ValueError, match=r"is read after a tensor in whose memory it lies was changed in place"):
        build(InPlace(view=True), loss, (torch.zeros(5, 4),), torch.zeros(5, dtype=torch.int64))


def test_nested_outputs_come_back_as_the_module_gave_them() -> None:
    class Nested(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(4, 4)

        def forward(self, x: Tensor) -> dict[str, Any]:
            return {"logits": self.fc(x), "pair": (x + 1, [x * 2])}

    program = build(
        Nested(), lambda o, t: loss(o["logits"], t), (torch.zeros(5, 4),), torch.zeros(5, dtype=torch.int64)
    )
    places = {name: torch.empty(shape) for name, shape in (("fc.weight", (4, 4)), ("fc.bias", (4,)))}
    inputs = [torch.ones(5, 4), torch.zeros(5, dtype=torch.int64)]
    with torch.no_grad():
        output = program.run(inputs, places, Generator(), complete=lambda _: None).output
    assert output["logits"].shape == (5, 4)
    assert float(output["pair"][1][0][0, 0]) == 2.0
