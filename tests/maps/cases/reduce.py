"""Calls of the maps that reduce dimensions, or pick by rank along one."""

import math
from collections.abc import Iterator

import torch
from torch import Generator, Tensor

from distbp.maps import deviation, extreme, length, rank, reduce, variance
from tests.maps.case import Case, Sizes

DIMS: tuple[tuple[list[int] | None, bool], ...] = (
    ([0], False),
    ([-1], True),
    ([0, 2], False),
    ([1, -1], True),
    ([], False),
)


def with_zeros(sizes: Sizes, generator: Generator) -> Tensor:
    """Numbers along the first dimension, some of which are 0."""
    x = torch.randn(sizes["I"], sizes["N"], generator=generator, dtype=torch.float64)
    return x * (torch.rand(x.shape, generator=generator) > 0.3)


def _sums() -> Iterator[Case]:
    for x in ("NI", "()"):
        yield Case("aten.sum.default", reduce.SumAll, (x,))
        yield Case("aten.mean.default", reduce.MeanAll, (x,))
        yield Case("aten.prod.default", reduce.ProductAll, (x,))
    for dim, keepdim in (*DIMS, (None, False)):
        told = {"dim": dim, "keepdim": keepdim}
        yield Case("aten.sum.dim_IntList", reduce.SumOver, ("NTI",), told)
        yield Case("aten.mean.dim", reduce.MeanOver, ("NTI",), told)
    for one, keepdim in ((0, False), (-1, True)):
        yield Case("aten.prod.dim_int", reduce.ProductOver, ("NTI",), {"dim": one, "keepdim": keepdim})
        yield Case("aten.cumsum.default", reduce.CumulativeSum, ("NTI",), {"dim": one})
        yield Case("aten.cumprod.default", reduce.CumulativeProduct, ("NTI",), {"dim": one})
    yield Case("aten.cumprod.default", reduce.CumulativeProduct, (with_zeros,), {"dim": 0})


def _spreads() -> Iterator[Case]:
    three = {"N": 3, "T": 3, "I": 3}
    for op, rules in (
        ("var", (variance.Variance, variance.VarianceOver, variance.VarianceAll)),
        ("std", (deviation.Deviation, deviation.DeviationOver, deviation.DeviationAll)),
        ("var_mean", (variance.VarianceMean, variance.VarianceMeanOver, variance.VarianceMeanAll)),
        ("std_mean", (deviation.DeviationMean, deviation.DeviationMeanOver, deviation.DeviationMeanAll)),
    ):
        for dim, keepdim in DIMS:
            yield Case(f"aten.{op}.dim", rules[1], ("NTI",), {"dim": dim, "keepdim": keepdim}, three)
            told = {"dim": dim, "correction": 2, "keepdim": keepdim}
            yield Case(f"aten.{op}.correction", rules[0], ("NTI",), told, three)
        yield Case(f"aten.{op}.dim", rules[1], ("NTI",), {"dim": [1], "unbiased": False}, three)
        yield Case(f"aten.{op}.correction", rules[0], ("NI",), {}, three)
        for unbiased in (True, False):
            yield Case(f"aten.{op}.default", rules[2], ("NI",), {"unbiased": unbiased}, three)


def _norms() -> Iterator[Case]:
    for order in (1, 2, 3, 1.5, math.inf):
        yield Case("aten.linalg_vector_norm.default", length.Norm, ("NTI",), {"ord": order})
        for dim, keepdim in DIMS[:4]:
            told = {"ord": order, "dim": dim, "keepdim": keepdim}
            yield Case("aten.linalg_vector_norm.default", length.Norm, ("NTI",), told)
        yield Case("aten.linalg_norm.default", length.VectorNorm, ("NI",), {"ord": order, "dim": [1]})
    yield Case("aten.linalg_norm.default", length.VectorNorm, ("NI",))


def _extremes() -> Iterator[Case]:
    for name, rules in (
        ("max", (extreme.Largest, extreme.LargestOfAll)),
        ("min", (extreme.Smallest, extreme.SmallestOfAll)),
    ):
        for dim, keepdim in DIMS:
            yield Case(f"aten.a{name}.default", rules[0], ("NTI",), {"dim": dim, "keepdim": keepdim})
        yield Case(f"aten.{name}.default", rules[1], ("NI",))
    for op, rule in (("max.dim", rank.Max), ("min.dim", rank.Min), ("median.dim", rank.Median)):
        for one, keepdim in ((0, False), (-1, True)):
            yield Case(f"aten.{op}", rule, ("NTI",), {"dim": one, "keepdim": keepdim})
    for keepdim in (True, False):
        yield Case("aten.kthvalue.default", rank.KthValue, ("NI",), {"k": 2, "keepdim": keepdim}, {"I": 4})
    for told in ({"k": 2}, {"k": 1, "dim": 1, "largest": False}):
        yield Case("aten.topk.default", rank.TopK, ("NIT",), told, {"I": 4, "T": 3})
    for told in ({}, {"dim": 0, "descending": True}):
        yield Case("aten.sort.default", rank.Sort, ("NTI",), told)
        yield Case("aten.sort.stable", rank.StableSort, ("NTI",), {"stable": True, **told})


CASES = [*_sums(), *_spreads(), *_norms(), *_extremes()]
