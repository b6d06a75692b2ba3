"""Rows of the convolutions: P, Q, R are positions, J, K, L taps."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Generator, Tensor

from distbp.maps import conv
from tests.maps.case import Case, Sizes

SIZES = {"P": 8, "Q": 7, "R": 6, "J": 3, "K": 2, "L": 3, "D": 4, "E": 6}
SPACE, TAPS = {1: "P", 2: "PQ", 3: "PQR"}, {1: "J", 2: "JK", 3: "JKL"}


def _channels_last(sizes: Sizes, generator: Generator) -> Tensor:
    x = torch.randn((sizes["N"], 4, 8, 7), generator=generator, dtype=torch.float64)
    return x.contiguous(memory_format=torch.channels_last)


def _table() -> Iterator[Case]:
    for axes, space in SPACE.items():
        yield from _plain(axes, "D" + space, "ED" + TAPS[axes], "EC" + TAPS[axes])
        yield from _transposed(axes, "D" + space, "DE" + TAPS[axes], "DC" + TAPS[axes])
    told = {"stride": [2, 2], "padding": [1, 1], "dilation": [1, 1]}
    more = {"transposed": True, "output_padding": [1, 0], "groups": 1}
    for inputs in (("NDPQ", "DEJK", "E"), ("NDPQ", "DEJK", "-"), (_channels_last, "DEJK", "E")):
        yield Case("aten.convolution.default", conv.Convolution, inputs, {**told, **more}, SIZES)
    yield Case("aten.conv2d.default", conv.Conv, (_channels_last, "EDJK", "E"), {"padding": [1, 0]}, SIZES)
    yield Case("aten.conv2d.padding", conv.ConvPadded, (_channels_last, "EDJK", "E"), {"padding": "same"}, SIZES)


def _plain(axes: int, x: str, W: str, W_grouped: str) -> Iterator[Case]:
    op, rule = f"aten.conv{axes}d.default", conv.Conv
    for inputs in (("N" + x, W, "E"), ("N" + x, W, "-"), (x, W, "E"), (x, W, "-")):
        yield Case(op, rule, inputs, {}, SIZES)
    odd: dict[str, Any] = {"stride": [2, 1, 3][:axes], "padding": [1, 2, 0][:axes], "dilation": [2, 1, 1][:axes]}
    yield Case(op, rule, ("N" + x, W, "E"), odd, SIZES)
    yield Case(op, rule, ("N" + x, W_grouped, "E"), {**odd, "groups": 2}, {**SIZES, "C": 2})
    yield Case(op, rule, (x, W_grouped, "-"), {"groups": 4}, {**SIZES, "C": 1, "E": 8})
    op, padded = f"aten.conv{axes}d.padding", conv.ConvPadded
    for bias in ("E", "-"):
        yield Case(op, padded, ("N" + x, W, bias), {"padding": "same"}, SIZES)
    yield Case(op, padded, (x, W, "E"), {"padding": "same"}, SIZES)
    yield Case(op, padded, (x, W, "E"), {"stride": odd["stride"], "padding": "valid"}, SIZES)
    yield Case(op, padded, ("N" + x, W, "E"), {"padding": "same", "dilation": [3, 1, 2][:axes]}, SIZES)
    grouped = {**SIZES, "C": 2, "J": 4}
    yield Case(op, padded, ("N" + x, W_grouped, "E"), {"padding": "same", "groups": 2}, grouped)


def _transposed(axes: int, x: str, W: str, W_grouped: str) -> Iterator[Case]:
    op, rule = f"aten.conv_transpose{axes}d.{'default' if axes == 1 else 'input'}", conv.ConvTransposed
    for inputs in (("N" + x, W, "E"), ("N" + x, W, "-"), (x, W, "E"), (x, W, "-")):
        yield Case(op, rule, inputs, {}, SIZES)
    odd = {"stride": [2, 3, 2][:axes], "padding": [1, 0, 1][:axes], "output_padding": [1, 2, 0][:axes]}
    yield Case(op, rule, ("N" + x, W, "E"), {**odd, "dilation": [2, 1, 1][:axes]}, SIZES)
    yield Case(op, rule, ("N" + x, W_grouped, "E"), {**odd, "groups": 2}, {**SIZES, "E": 6, "C": 3})


CASES = list(_table())
