"""Calls of the activations, and of softmax and its kin."""

from collections.abc import Iterator

import torch

from distbp.maps import activation, random_leak, rectifier, softmax
from tests.maps.case import Case, Sizes

PLAIN = {
    "tanh": activation.Tanh,
    "sigmoid": activation.Sigmoid,
    "log_sigmoid": activation.LogSigmoid,
    "gelu": activation.Gelu,
    "silu": activation.Silu,
    "mish": activation.Mish,
    "softplus": activation.Softplus,
    "relu": rectifier.Relu,
    "relu6": rectifier.Relu6,
    "hardtanh": rectifier.HardTanh,
    "leaky_relu": rectifier.LeakyRelu,
    "hardswish": rectifier.HardSwish,
    "hardsigmoid": rectifier.HardSigmoid,
    "hardshrink": rectifier.HardShrink,
    "softshrink": rectifier.SoftShrink,
    "rrelu": random_leak.MeanLeakyRelu,
    "elu": rectifier.Elu,
    "selu": rectifier.Selu,
    "celu": rectifier.Celu,
}


def _twice(sizes: Sizes, generator: torch.Generator) -> torch.Tensor:
    return torch.randn(sizes["N"], 2 * sizes["I"], sizes["T"], generator=generator, dtype=torch.float64)


def _activations() -> Iterator[Case]:
    for op, rule in PLAIN.items():
        yield Case(f"aten.{op}.default", rule, ("NTI",))
    yield Case("aten.gelu.default", activation.Gelu, ("NI",), {"approximate": "tanh"})
    yield Case("aten.softplus.default", activation.Softplus, ("NI",), {"beta": 3, "threshold": 1})
    yield Case("aten.logit.default", activation.Logit, ("p:NI",), {"eps": 0.2}, {"I": 4})
    yield Case("aten.logit.default", activation.Logit, ("p:NI",), {}, {"I": 4})
    yield Case("aten.hardtanh.default", rectifier.HardTanh, ("NI",), {"min_val": -0.3, "max_val": 0.7})
    for slope in (0.3, -0.3, 0.0):
        yield Case("aten.leaky_relu.default", rectifier.LeakyRelu, ("NI",), {"negative_slope": slope})
    for op, rule in (("hardshrink", rectifier.HardShrink), ("softshrink", rectifier.SoftShrink)):
        yield Case(f"aten.{op}.default", rule, ("NI",), {"lambd": 0.2})
    yield Case("aten.threshold.default", rectifier.Threshold, ("NI",), {"threshold": 0.3, "value": 2.0})
    for inputs in (("NI", "1"), ("NC", "C"), ("NCTI", "C"), ("NCT", "1"), ("I", "1")):
        yield Case("aten.prelu.default", rectifier.Prelu, inputs)
    for alpha in (0.7, -0.7):
        told = {"alpha": alpha, "scale": 1.3, "input_scale": 0.4}
        yield Case("aten.elu.default", rectifier.Elu, ("NI",), told)
    yield Case("aten.celu.default", rectifier.Celu, ("NI",), {"alpha": 0.7})
    yield Case("aten.rrelu.default", random_leak.MeanLeakyRelu, ("NI",), {"lower": 0.1, "upper": 0.5})
    yield Case("aten.rrelu.default", random_leak.RandomLeakyRelu, ("NI",), {"training": True})
    yield Case(
        "aten.rrelu.default", random_leak.RandomLeakyRelu, ("NTI",), {"lower": 0.1, "upper": 0.5, "training": True}
    )
    for dim in (1, -2):
        yield Case("aten.glu.default", activation.Glu, (_twice,), {"dim": dim})


def _normalised() -> Iterator[Case]:
    for op, rule in (("softmax", softmax.Softmax), ("log_softmax", softmax.LogSoftmax)):
        for dim in (0, 1, -1):
            yield Case(f"aten.{op}.int", rule, ("NTI",), {"dim": dim})
        yield Case(f"aten.{op}.int", rule, ("NI",), {"dim": 1, "dtype": torch.float64})
    for dims, keepdim in (([0], False), ([-1], True), ([0, 2], False)):
        yield Case("aten.logsumexp.default", softmax.LogSumExp, ("NTI",), {"dim": dims, "keepdim": keepdim})


CASES = [*_activations(), *_normalised()]
