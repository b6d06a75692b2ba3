"""Calls of the maps of arithmetic, powers and the elementary functions."""

from collections.abc import Iterator

import torch

from distbp.maps import arithmetic as a
from distbp.maps import blend, exponential, power, trigonometric
from tests.maps.case import Case, Draw, Sizes

BROADCAST = (("NI", "NI"), ("NI", "I"), ("N1", "I"), ("()", "NI"), ("NTI", "1I"), ("TI", "NTI"))


def _between(low: float, high: float) -> Draw:
    """(N, I), even between two numbers."""

    def draw(sizes: Sizes, generator: torch.Generator) -> torch.Tensor:
        unit = torch.rand(sizes["N"], sizes["I"], generator=generator, dtype=torch.float64)
        return low + (high - low) * unit

    return draw


def _binary() -> Iterator[Case]:
    for op, rule in (("add", a.Sum), ("sub", a.Difference), ("rsub", a.ReverseDifference)):
        for inputs in BROADCAST:
            yield Case(f"aten.{op}.Tensor", rule, inputs)
        yield Case(f"aten.{op}.Tensor", rule, ("NI", "I"), {"alpha": 3})
    for inputs in BROADCAST:
        yield Case("aten.mul.Tensor", a.Product, inputs)
    for left, right in BROADCAST:
        yield Case("aten.div.Tensor", a.Ratio, (left, f"w:{right}"))
        yield Case("aten.pow.Tensor_Tensor", power.PowerTensor, (f"w:{left}", right))
        yield Case("aten.atan2.default", trigonometric.Angle, (left, right))
        yield Case("aten.logaddexp.default", exponential.LogAddExp, (left, right))
    yield Case("aten.div.Tensor_mode", a.Ratio, ("NI", "w:I"), {"rounding_mode": None})
    yield Case("aten.multiply.Tensor", a.Product, ("NI", "I"))
    yield Case("aten.subtract.Tensor", a.Difference, ("NI", "I"))
    for op in ("divide", "true_divide"):
        yield Case(f"aten.{op}.Tensor", a.Ratio, ("NI", "w:I"))


def _numbers() -> Iterator[Case]:
    for op, rule in (("add", a.Shift), ("sub", a.ShiftDown), ("rsub", a.Reflect)):
        for alpha in (1, 2):
            yield Case(f"aten.{op}.Scalar", rule, ("NI",), {"other": 2.5, "alpha": alpha})
    for op, linear in (("mul", a.Scale), ("div", a.Quotient), ("fmod", a.Remainder), ("remainder", a.Modulo)):
        yield Case(f"aten.{op}.Scalar", linear, ("NI",), {"other": 2.5})
    yield Case("aten.div.Scalar_mode", a.Quotient, ("NI",), {"other": 2.5, "rounding_mode": None})
    yield Case("aten.neg.default", a.Negative, ("NI",))
    for exponent in (0, 1, 2, 3, -1):
        yield Case("aten.pow.Tensor_Scalar", power.Power, ("NI",), {"exponent": exponent})
    for root in (0.5, -0.5, 1.7):
        yield Case("aten.pow.Tensor_Scalar", power.Power, ("w:NI",), {"exponent": root})
    yield Case("aten.pow.Scalar", power.PowerOfNumber, ("NI",), {"self": 2.5})


def _blends() -> Iterator[Case]:
    for inputs in (("NI", "NI"), ("I", "N1")):
        for weight in (0.3, 1):
            yield Case("aten.lerp.Scalar", blend.Lerp, inputs, {"weight": weight})
    for three in (("NI", "NI", "NI"), ("I", "NI", "N1"), ("NTI", "1", "TI")):
        yield Case("aten.lerp.Tensor", blend.LerpTensor, three)
        for value in (1, 2.5):
            yield Case("aten.addcmul.default", blend.AddProduct, three, {"value": value})
            x, left, right = three
            yield Case("aten.addcdiv.default", blend.AddRatio, (x, left, f"w:{right}"), {"value": value})


EVERYWHERE = {
    "square": power.Square,
    "exp": exponential.Exp,
    "exp2": exponential.Exp2,
    "expm1": exponential.Expm1,
    "erf": exponential.Erf,
    "erfc": exponential.Erfc,
    "sin": trigonometric.Sine,
    "cos": trigonometric.Cosine,
    "atan": trigonometric.ArcTangent,
    "sinh": trigonometric.HyperbolicSine,
    "cosh": trigonometric.HyperbolicCosine,
    "asinh": trigonometric.AreaSine,
}
POSITIVE = {
    "sqrt": power.SquareRoot,
    "rsqrt": power.InverseRoot,
    "reciprocal": power.Reciprocal,
    "log": exponential.Log,
    "log1p": exponential.Log1p,
    "log2": exponential.Log2,
    "log10": exponential.Log10,
    "lgamma": exponential.LogGamma,
}
WITHIN_ONE = {
    "tan": trigonometric.Tangent,
    "asin": trigonometric.ArcSine,
    "acos": trigonometric.ArcCosine,
    "atanh": trigonometric.AreaTangent,
    "erfinv": exponential.ErfInverse,
}


def _functions() -> Iterator[Case]:
    for drawn, rules in (("NI", EVERYWHERE), ("w:NI", POSITIVE), (_between(-0.9, 0.9), WITHIN_ONE)):
        for op, rule in rules.items():
            yield Case(f"aten.{op}.default", rule, (drawn,))
    yield Case("aten.acosh.default", trigonometric.AreaCosine, (_between(1.1, 3),))


CASES = [*_binary(), *_numbers(), *_blends(), *_functions()]
