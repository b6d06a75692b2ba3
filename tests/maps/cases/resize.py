"""Rows of interpolation, and of images read at places of one's own: P, Q, R are positions."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Generator, Tensor

from distbp.maps import grid, resize
from tests.maps.case import Case, Sizes

SIZES = {"P": 5, "Q": 6, "R": 3, "H": 4, "M": 7, "L": 2, "D": 2, "E": 3, "F": 4}
SPACE = {1: "P", 2: "PQ", 3: "PQR"}
FACTORS = [1.5, 0.6, 2.0]
LARGER, SMALLER = [8, 9, 7], [3, 2, 2]


def _table() -> Iterator[Case]:
    for axes, space in SPACE.items():
        for name, rule in (("upsample_nearest", resize.Nearest), ("_upsample_nearest_exact", resize.NearestExact)):
            yield from _op(f"{name}{axes}d", rule, axes, "NC" + space, {})
        name = ("upsample_linear1d", "upsample_bilinear2d", "upsample_trilinear3d")[axes - 1]
        for corners in (False, True):
            yield from _op(name, resize.Linear, axes, "NC" + space, {"align_corners": corners})
    for corners in (False, True):
        for name, rule in (
            ("upsample_bicubic2d", resize.Cubic),
            ("_upsample_bilinear2d_aa", resize.LinearSmoothed),
            ("_upsample_bicubic2d_aa", resize.CubicSmoothed),
        ):
            yield from _op(name, rule, 2, "NCPQ", {"align_corners": corners})
    for name, rule in (("nearest", resize.Nearest), ("bilinear", resize.Linear), ("bicubic", resize.Cubic)):
        told = {} if name == "nearest" else {"align_corners": False}
        told["output_size"] = [8, 9]
        yield Case(f"aten.upsample_{name}2d.vec", rule, (_channels_last,), told)
    yield from _grids()


def _op(name: str, rule: Any, axes: int, shape: str, told: dict[str, Any]) -> Iterator[Case]:
    for size in (LARGER, SMALLER):
        yield Case(f"aten.{name}.vec", rule, (shape,), {"output_size": size[:axes], **told}, SIZES)
    factors = {"output_size": None, "scale_factors": FACTORS[:axes]}
    yield Case(f"aten.{name}.vec", rule, (shape,), {**factors, **told}, SIZES)
    one_by_one = dict(zip(resize.SCALES[axes], FACTORS, strict=False))
    size = [int(SIZES[letter] * f) for letter, f in zip(shape[2:], FACTORS, strict=False)]
    yield Case(f"aten.{name}.default", rule, (shape,), {"output_size": size, **told, **one_by_one}, SIZES)


def _grids() -> Iterator[Case]:
    for padding_mode in (0, 1, 2):
        for corners in (False, True):
            told = {"padding_mode": padding_mode, "align_corners": corners}
            for mode in (0, 1, 2):
                sampled = {"interpolation_mode": mode, **told}
                yield Case("aten.grid_sampler.default", grid.GridSample, ("NCPQ", "NHMD"), sampled, SIZES)
            for mode in (0, 1):
                sampled = {"interpolation_mode": mode, **told}
                yield Case("aten.grid_sampler.default", grid.GridSample, ("NCPQR", "NHMLE"), sampled, SIZES)
    for corners in (False, True):
        for shape, space in (("NDE", [5, 6]), ("NEF", [5, 6, 3])):
            yield Case(
                "aten.affine_grid_generator.default", grid.AffineGrid, (shape,),
                {"size": lambda s, space=space: [s["N"], s["C"], *space], "align_corners": corners}, SIZES,
            )  # fmt: skip


def _channels_last(sizes: Sizes, generator: Generator) -> Tensor:
    x = torch.randn((sizes["N"], sizes["C"], 5, 6), generator=generator, dtype=torch.float64)
    return x.contiguous(memory_format=torch.channels_last)


CASES = list(_table())
