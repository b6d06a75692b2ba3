"""The table of calls that the laws are tried on: every map there is, with the attributes that change its formula."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from distbp.maps import dropout, linear, loss, pointwise, reduce, shape
from distbp.maps.base import Map
from distbp.maps.check import Call


class Case(NamedTuple):
    """A map, the op that it stands for, and how its inputs are drawn from sizes N, I, O."""

    op: str
    rule: type[Map]
    shapes: tuple[str, ...]  # "NI" is (N, I); "1" a dimension of one; "-" no tensor; "()" a scalar; "t:N" class numbers
    attributes: Mapping[str, Any] = {}

    def __str__(self) -> str:
        told = ",".join(f"{k}={v}" for k, v in self.attributes.items())
        return f"{self.rule.__name__}[{' '.join(self.shapes)}]{told}"

    def call(self, sizes: Mapping[str, int], seed: int = 0) -> Call:
        generator = torch.Generator().manual_seed(seed)
        inputs = [_input(text, sizes, generator) for text in self.shapes]
        attributes = {k: v(sizes) if callable(v) else v for k, v in self.attributes.items()}
        return Call(self.rule, inputs, attributes, seed)


def _input(text: str, sizes: Mapping[str, int], generator: torch.Generator) -> Tensor | None:
    if text == "-":
        return None
    kind, _, letters = text.rpartition(":")
    dims = [sizes.get(letter, 1) for letter in letters if letter not in "()"]
    if kind == "t":
        return torch.randint(0, sizes["C"], dims, generator=generator)
    x = torch.randn(dims, generator=generator, dtype=torch.float64)
    return {"": x, "p": x.softmax(1 if x.dim() > 1 else 0), "w": x.abs() + 0.1}[kind]


def _table() -> Iterator[Case]:
    for leading in ("N", "NT", "NTI"):
        yield Case("aten.linear.default", linear.Linear, (leading + "I", "OI", "O"))
    yield Case("aten.linear.default", linear.Linear, ("NI", "OI", "-"))
    yield Case("aten.linear.default", linear.LinearVector, ("I", "OI", "O"))
    yield Case("aten.linear.default", linear.LinearVector, ("I", "OI", "-"))
    for op, rule in (("relu", pointwise.Relu), ("tanh", pointwise.Tanh), ("sigmoid", pointwise.Sigmoid)):
        yield Case(f"aten.{op}.default", rule, ("NI",))
    for approximate in ("none", "tanh"):
        yield Case("aten.gelu.default", pointwise.Gelu, ("NTI",), {"approximate": approximate})
    yield Case("aten.neg.default", pointwise.Negative, ("NI",))
    for op, rule in (("add", pointwise.Sum), ("sub", pointwise.Difference), ("mul", pointwise.Product)):
        for shapes in (("NI", "NI"), ("NI", "I"), ("N1", "I"), ("()", "NI"), ("NTI", "1I"), ("TI", "NTI")):
            yield Case(f"aten.{op}.Tensor", rule, shapes)
    for op, rule in (("add", pointwise.Sum), ("sub", pointwise.Difference)):
        yield Case(f"aten.{op}.Tensor", rule, ("NI", "I"), {"alpha": 3})
    yield Case("aten.add.Scalar", pointwise.Shift, ("NI",), {"other": 2.5, "alpha": 2})
    yield Case("aten.sub.Scalar", pointwise.ShiftDown, ("NI",), {"other": 2.5, "alpha": 2})
    yield Case("aten.mul.Scalar", pointwise.Scale, ("NI",), {"other": 2.5})
    yield Case("aten.div.Scalar", pointwise.Quotient, ("NI",), {"other": 2.5})
    for exponent in (1, 2, 3):
        yield Case("aten.pow.Tensor_Scalar", pointwise.Power, ("NI",), {"exponent": exponent})
    yield Case("aten.sum.default", reduce.SumAll, ("NI",))
    yield Case("aten.mean.default", reduce.MeanAll, ("NI",))
    for op, rule in (("sum.dim_IntList", reduce.SumOver), ("mean.dim", reduce.MeanOver)):
        for dim, keepdim in (([0], False), ([-1], True), ([0, 2], False), ([1, -1], True)):
            yield Case(f"aten.{op}", rule, ("NTI",), {"dim": dim, "keepdim": keepdim})
    for op, rule, name in (("view", shape.View, "size"), ("reshape", shape.Reshape, "shape")):
        yield Case(f"aten.{op}.default", rule, ("NTI",), {name: lambda s: [s["N"], s["T"] * s["I"]]})
        yield Case(f"aten.{op}.default", rule, ("NTI",), {name: lambda s: [-1]})
    for start, end in ((0, -1), (1, -1), (0, 1)):
        yield Case("aten.flatten.using_ints", shape.Flatten, ("NTI",), {"start_dim": start, "end_dim": end})
    yield Case("aten.expand.default", shape.Expand, ("1I",), {"size": lambda s: [s["N"], s["T"], s["I"]]})
    yield Case("aten.transpose.int", shape.Transpose, ("NTI",), {"dim0": 0, "dim1": -1})
    yield Case("aten.contiguous.default", shape.Same, ("NI",))
    yield Case("aten.alias.default", shape.Same, ("NI",))
    yield Case("aten.dropout.default", dropout.Dropout, ("NI",), {"p": 0.4, "train": True})
    yield Case("aten.dropout.default", dropout.DropNothing, ("NI",), {"p": 0.4, "train": False})
    yield Case("aten.dropout.default", dropout.DropNothing, ("NI",), {"p": 0.0, "train": True})
    yield Case("aten.dropout.default", dropout.DropAll, ("NI",), {"p": 1.0, "train": True})
    yield from _losses()


def _losses() -> Iterator[Case]:
    op = "aten.cross_entropy_loss.default"
    for reduction in (0, 1, 2):
        for weight in ("-", "w:C"):
            told = {"reduction": reduction}
            yield Case(op, loss.CrossEntropy, ("NC", "t:N", weight), told)
            yield Case(op, loss.CrossEntropy, ("NC", "t:N", weight), {**told, "ignore_index": 1})
            for shapes in (("NC", "t:N", weight), ("NCT", "t:NT", weight), ("C", "t:()", weight)):
                yield Case(op, loss.SoftCrossEntropy, shapes, {**told, "label_smoothing": 0.1})
                if "N" in shapes[1]:
                    yield Case(op, loss.SoftCrossEntropy, shapes, {**told, "label_smoothing": 0.1, "ignore_index": 1})
            for shapes in (("NC", "p:NC", weight), ("NCT", "p:NCT", weight), ("C", "p:C", weight)):
                yield Case(op, loss.SoftCrossEntropy, shapes, told)
                yield Case(op, loss.SoftCrossEntropy, shapes, {**told, "label_smoothing": 0.1})
        yield Case("aten.mse_loss.default", loss.SquaredError, ("NI", "NI"), {"reduction": reduction})


CASES = list(_table())
SIZES = {"N": 4, "T": 3, "I": 5, "O": 2, "C": 3}
