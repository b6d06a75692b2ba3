"""Rows of the normalisations: P, Q, R are positions, D channels in groups."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Generator, Tensor

from distbp.maps import batch_norm, norm, weight_norm
from distbp.maps.check import Call
from tests.maps.case import Case, Sizes

SIZES = {"P": 3, "Q": 4, "R": 2, "D": 6}
CHANNELS = ("D", "D"), ("D", "-"), ("-", "D"), ("-", "-")  # weight and bias
SHAPES = ("NDP", "NDPQ", "NDPQR")


class FirstOutputCall(Call):
    """A call that a loss reads the first output of; the others carry no gradient."""

    def cotangents(self) -> list[Tensor]:
        d_y, *others = super().cotangents()
        return [d_y, *map(torch.zeros_like, others)]


class FirstOutput(Case):
    """A row for an op whose other outputs carry no gradient."""

    def call(self, sizes: Sizes, seed: int = 0) -> Call:
        call = super().call(sizes, seed)
        return FirstOutputCall(call.rule, call.inputs, call.attributes, call.seed)


def _table() -> Iterator[Case]:
    yield from _last_dimensions()
    yield from _groups()
    yield from _batches()
    op = "aten._weight_norm.default"
    yield Case(op, weight_norm.WeightNormOutermost, ("DPQ", "D11"), {"dim": 0}, SIZES)
    yield Case(op, weight_norm.WeightNormOutermost, ("DPQ", "11Q"), {"dim": 2}, SIZES)
    yield Case(op, weight_norm.WeightNorm, ("DPQ", "1P1"), {"dim": 1}, SIZES)
    yield Case(op, weight_norm.WeightNorm, ("DPQ", "()"), {"dim": -1}, SIZES)


def _last_dimensions() -> Iterator[Case]:
    for leading in ("N", "NT", ""):
        for weight, bias in (("P", "P"), ("P", "-"), ("-", "P"), ("-", "-")):
            told: dict[str, Any] = {"normalized_shape": [3]}
            yield Case("aten.layer_norm.default", norm.LayerNorm, (f"{leading}P", weight, bias), told, SIZES)
        for weight in ("P", "-"):
            for eps in (None, 0.1):
                told = {"normalized_shape": [3], "eps": eps}
                yield Case("aten.rms_norm.default", norm.RmsNorm, (f"{leading}P", weight), told, SIZES)
    told = {"normalized_shape": [3, 4], "eps": 0.1}
    yield Case("aten.layer_norm.default", norm.LayerNorm, ("NTPQ", "PQ", "PQ"), told, SIZES)
    yield Case("aten.rms_norm.default", norm.RmsNorm, ("NTPQ", "PQ"), told, SIZES)


def _groups() -> Iterator[Case]:
    instance: dict[str, Any] = {"use_input_stats": True, "momentum": 0.1, "eps": 1e-5, "cudnn_enabled": True}
    for weight, bias in CHANNELS:
        for shape in (*SHAPES, "ND", _channels_last):
            told: dict[str, Any] = {"num_groups": 3, "eps": 0.01}
            yield Case("aten.group_norm.default", norm.GroupNorm, (shape, weight, bias), told, SIZES)
        for shape in (*SHAPES, _channels_last):
            yield Case(
                "aten.instance_norm.default", norm.InstanceNorm, (shape, weight, bias, "-", "-"), instance, SIZES
            )
        fixed = {**instance, "use_input_stats": False}
        inputs = ("NDPQ", weight, bias, "D", "w:D")
        yield Case("aten.instance_norm.default", batch_norm.InstanceNormFixed, inputs, fixed, SIZES)


def _batches() -> Iterator[Case]:
    told: dict[str, Any] = {"training": True, "momentum": 0.3, "eps": 1e-3}
    fixed = {**told, "training": False, "cudnn_enabled": True}
    op = "aten._native_batch_norm_legit"
    for weight, bias in CHANNELS:
        for shape in ("BD", *SHAPES, _channels_last):  # at least two numbers to a channel
            x = (shape, weight, bias)
            yield FirstOutput(f"{op}.no_stats", batch_norm.BatchNorm, x, told, {**SIZES, "B": 5})
            tracked = (*x, "D", "w:D")
            yield FirstOutput(f"{op}_functional.default", batch_norm.BatchNormTracked, tracked, told, {**SIZES, "B": 5})
            yield Case("aten.batch_norm.default", batch_norm.BatchNormFixed, tracked, fixed, {**SIZES, "B": 5})


def _channels_last(sizes: Sizes, generator: Generator) -> Tensor:
    x = torch.randn((sizes["N"], 6, 3, 4), generator=generator, dtype=torch.float64)
    return x.contiguous(memory_format=torch.channels_last)


CASES = list(_table())
