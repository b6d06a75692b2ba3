"""Calls of the maps that choose and bound, and of those that are linear or constant in pieces."""

from collections.abc import Iterator

import torch

from distbp.maps import choice, step
from tests.maps.case import Case, Draw, Sizes


def mask(letters: str) -> Draw:
    """True or false, evenly."""

    def draw(sizes: Sizes, generator: torch.Generator) -> torch.Tensor:
        return torch.rand([sizes[letter] for letter in letters], generator=generator) < 0.5

    return draw


PAIRS = (("NI", "NI"), ("NI", "I"), ("N1", "I"), ("()", "NI"))


def _bounds() -> Iterator[Case]:
    for bounds in ({"min": -0.5}, {"max": 0.5}, {"min": -0.5, "max": 0.5}):
        yield Case("aten.clamp.default", choice.Clamp, ("NI",), bounds)
    yield Case("aten.clip.default", choice.Clamp, ("NI",), {"min": 0})
    yield Case("aten.clamp_min.default", choice.ClampMin, ("NI",), {"min": 0})
    yield Case("aten.clamp_max.default", choice.ClampMax, ("NI",), {"max": 0})
    for three in (("NI", "NI", "NI"), ("NI", "I", "N1"), ("NI", "()", "I")):
        yield Case("aten.clamp.Tensor", choice.ClampBetween, three)
    for pair in PAIRS:
        yield Case("aten.clamp_min.Tensor", choice.ClampAbove, pair)
        yield Case("aten.clamp_max.Tensor", choice.ClampBelow, pair)
        for op in ("maximum.default", "max.other"):
            yield Case(f"aten.{op}", choice.Maximum, pair)
        for op in ("minimum.default", "min.other"):
            yield Case(f"aten.{op}", choice.Minimum, pair)
        yield Case("aten.where.self", choice.Where, (mask("NI"), *pair))


def _masks() -> Iterator[Case]:
    for letters, x in (("NI", "NI"), ("I", "NI"), ("NI", "I")):
        yield Case("aten.where.ScalarOther", choice.WhereElse, (mask(letters), x), {"other": 2.5})
        yield Case("aten.where.ScalarSelf", choice.WhereNumber, (mask(letters), x), {"self": 2.5})
        yield Case("aten.masked_fill.Scalar", choice.MaskedFill, (x, mask(letters)), {"value": 2.5})
        yield Case("aten.masked_fill.Tensor", choice.MaskedFillTensor, (x, mask(letters), "()"))


def _pieces() -> Iterator[Case]:
    yield Case("aten.abs.default", step.Absolute, ("NI",))
    yield Case("aten.frac.default", step.Fraction, ("NI",))
    yield Case("aten.nan_to_num.default", step.NanToNum, ("NI",), {"nan": 1.0})
    for x, y in PAIRS:
        yield Case("aten.xlogy.Tensor", step.TimesLog, (x, f"w:{y}"))
    for op, rule in (("sign", step.Sign), ("floor", step.Floor), ("ceil", step.Ceiling), ("trunc", step.Truncate)):
        yield Case(f"aten.{op}.default", rule, ("NI",))
    yield Case("aten.round.default", step.Round, ("NI",))
    yield Case("aten.round.decimals", step.RoundDecimals, ("NI",), {"decimals": 1})


CASES = [*_bounds(), *_masks(), *_pieces()]
