"""Rows of pooling: P, Q, R are positions."""

from collections.abc import Callable, Iterator

import torch
from torch import Generator, Tensor

from distbp.maps import adaptive_pool, pool, window
from distbp.maps.base import Map
from tests.maps.case import Case, Sizes

SIZES = {"P": 7, "Q": 8, "R": 6}
SPACE = {1: "P", 2: "PQ", 3: "PQR"}


def _table() -> Iterator[Case]:
    for axes, space in SPACE.items():
        yield from _windows(axes, ("NC" + space, "C" + space))
        yield from _adaptive(axes, ("NC" + space, "C" + space))
    last = (_channels_last,)
    overlapping = {"kernel_size": [3, 3], "stride": [2, 2], "padding": [1, 1]}
    for told in ({"kernel_size": [2, 2]}, overlapping):
        yield Case("aten.max_pool2d.default", pool.MaxPool2d, last, told)
        yield Case("aten.avg_pool2d.default", pool.MeanPool2d, last, told)
    yield Case("aten.adaptive_avg_pool2d.default", adaptive_pool.AdaptiveMeanPool2d, last, {"output_size": [3, 5]})
    yield Case("aten.adaptive_avg_pool2d.default", adaptive_pool.GlobalMean, last, {"output_size": [1, 1]})
    yield Case("aten.adaptive_max_pool2d.default", adaptive_pool.AdaptiveMaxPool2d, last, {"output_size": [3, 5]})
    yield from _moved()


def _windows(axes: int, shapes: tuple[str, str]) -> Iterator[Case]:
    maxima: dict[str, type[Map]] = {
        f"max_pool{axes}d": (pool.MaxPool1d, pool.MaxPool2d, pool.MaxPool3d)[axes - 1],
        f"max_pool{axes}d_with_indices": (
            pool.MaxPoolIndices1d, pool.MaxPoolIndices2d, pool.MaxPoolIndices3d
        )[axes - 1],
    }  # fmt: skip
    mean = (pool.MeanPool1d, pool.MeanPool2d, pool.MeanPool3d)[axes - 1]
    odd = {"kernel_size": [3, 4, 2][:axes], "stride": [2, 1, 3][:axes], "padding": [1, 2, 0][:axes]}
    for shape in shapes:
        for op, rule in maxima.items():
            yield Case(f"aten.{op}.default", rule, (_distinct(shape),), {"kernel_size": [2] * axes}, SIZES)
            yield Case(f"aten.{op}.default", rule, (_distinct(shape),), {**odd, "ceil_mode": True}, SIZES)
            yield Case(f"aten.{op}.default", rule, (_distinct(shape),), {**odd, "dilation": [2, 1, 2][:axes]}, SIZES)
        op = f"aten.avg_pool{axes}d.default"
        yield Case(op, mean, (shape,), {"kernel_size": [2] * axes}, SIZES)
        yield Case(op, mean, (shape,), {**odd, "ceil_mode": True}, SIZES)
        yield Case(op, mean, (shape,), {**odd, "count_include_pad": False}, SIZES)
        if axes > 1:
            yield Case(op, mean, (shape,), {**odd, "divisor_override": 5}, SIZES)


def _adaptive(axes: int, shapes: tuple[str, str]) -> Iterator[Case]:
    mean = (
        adaptive_pool.AdaptiveMeanPool1d, adaptive_pool.AdaptiveMeanPool2d, adaptive_pool.AdaptiveMeanPool3d
    )[axes - 1]  # fmt: skip
    maximum = (
        adaptive_pool.AdaptiveMaxPool1d, adaptive_pool.AdaptiveMaxPool2d, adaptive_pool.AdaptiveMaxPool3d
    )[axes - 1]  # fmt: skip
    for shape in shapes:
        for size in ([3, 5, 9], [4, 1, 2]):
            yield Case(f"aten.adaptive_avg_pool{axes}d.default", mean, (shape,), {"output_size": size[:axes]}, SIZES)
            yield Case(
                f"aten.adaptive_max_pool{axes}d.default",
                maximum,
                (_distinct(shape),),
                {"output_size": size[:axes]},
                SIZES,
            )
        one = {"output_size": [1] * axes}
        yield Case(f"aten.adaptive_avg_pool{axes}d.default", adaptive_pool.GlobalMean, (shape,), one, SIZES)
        yield Case(f"aten.adaptive_max_pool{axes}d.default", maximum, (_distinct(shape),), one, SIZES)


def _moved() -> Iterator[Case]:
    told = {"kernel_size": [3, 2], "dilation": [1, 2], "padding": [1, 0], "stride": [2, 1]}
    for shape in ("NCPQ", "CPQ"):
        yield Case("aten.im2col.default", window.Unfold, (shape,), told, SIZES)
    for shape in ("NDE", "DE"):  # 4 x 6 windows of 3 x 2 positions
        yield Case("aten.col2im.default", window.Fold, (shape,), {"output_size": [7, 8], **told}, {"D": 12, "E": 24})
    wide = {"output_size": [9, 8]}
    for shape in ("NCHM", "CHM"):
        yield Case(
            "aten.max_unpool2d.default", window.MaxUnpool, (shape, _places(shape, 9 * 8)), wide, {"H": 4, "M": 3}
        )
    deep = {"output_size": [4, 5, 6], "stride": [2, 2, 2], "padding": [0, 0, 0]}
    places = _places("NCHML", 4 * 5 * 6)
    yield Case("aten.max_unpool3d.default", window.MaxUnpool, ("NCHML", places), deep, {"H": 2, "M": 2, "L": 3})

    for dims, op in ((2, pool.FractionalMaxPool2d), (3, pool.FractionalMaxPool3d)):
        name = f"aten.fractional_max_pool{dims}d.default"
        told = {"kernel_size": [2] * dims, "output_size": [3] * dims}
        letters = "HML"[:dims]
        for shape in (f"NC{letters}", f"C{letters}"):
            yield Case(name, op, (_distinct(shape), _samples(shape, dims)), told, {"H": 7, "M": 8, "L": 7})


def _samples(shape: str, dims: int) -> Callable[[Sizes, Generator], Tensor]:
    """Where the windows of a fractional pooling begin, as shares of the room that they have."""

    def draw(sizes: Sizes, generator: Generator) -> Tensor:
        examples = sizes["N"] if "N" in shape else 1
        return torch.rand(examples, sizes["C"], dims, generator=generator, dtype=torch.float64)

    return draw


def _places(shape: str, positions: int) -> Callable[[Sizes, Generator], Tensor]:
    """Distinct places, for each channel, where an unpooling puts its elements."""
    channels = shape.index("H")

    def draw(sizes: Sizes, generator: Generator) -> Tensor:
        dims = [sizes[letter] for letter in shape]
        rows = torch.rand([*dims[:channels], positions], generator=generator).argsort(-1)
        return rows[..., : torch.Size(dims[channels:]).numel()].reshape(dims)

    return draw


def _distinct(shape: str) -> Callable[[Sizes, Generator], Tensor]:
    """Numbers far enough from each other that the small steps of the laws leave every maximum where it is."""

    def draw(sizes: Sizes, generator: Generator) -> Tensor:
        dims = torch.Size([sizes[letter] for letter in shape])
        return torch.randperm(dims.numel(), generator=generator).double().view(dims) / 10

    return draw


def _channels_last(sizes: Sizes, generator: Generator) -> Tensor:
    return _distinct("NCPQ")({**sizes, **SIZES}, generator).contiguous(memory_format=torch.channels_last)


CASES = list(_table())
