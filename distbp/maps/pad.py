"""Padding: p = (left, right) of the last dimension, then of the one before it, and so on."""

# ruff: noqa: D102 - the class's docstring holds the equations of both functions

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from distbp.maps.base import Map
from distbp.maps.registry import register_map


def _sides(pad: Sequence[int], dims: int) -> Iterator[tuple[int, int, int]]:
    """(dimension, left, right), of those that are padded."""
    for i in range(len(pad) // 2):
        if pad[2 * i] or pad[2 * i + 1]:
            yield dims - 1 - i, pad[2 * i], pad[2 * i + 1]


def _inner(d_y: Tensor, pad: Sequence[int]) -> Tensor:
    """dy without the padding; zero where padding took away."""
    if any(p < 0 for p in pad):
        return torch.constant_pad_nd(d_y, [-p for p in pad])
    for dim, left, right in _sides(pad, d_y.dim()):
        d_y = d_y.narrow(dim, left, d_y.shape[dim] - left - right)
    return d_y


@register_map("aten.constant_pad_nd.default")
class ConstantPad(Map):
    """y = x, with a number around it.
    dx = dy without what is around it
    """

    @staticmethod
    def forward(x: Tensor, pad: Sequence[int], value: float = 0) -> tuple[Tensor, Any]:
        return torch.constant_pad_nd(x, tuple(pad), value), pad

    @staticmethod
    def vjp(pad: Any, d_y: Tensor) -> tuple[Any, ...]:
        return (_inner(d_y, pad),)


@register_map("aten.pad.default", when=lambda _, attributes: attributes["mode"] == "constant")
class Pad(Map):
    """y = x, with a number around it.
    dx = dy without what is around it
    """

    @staticmethod
    def forward(
        x: Tensor,
        pad: Sequence[int],
        mode: str = "constant",  # noqa: ARG004
        value: float | None = None,
    ) -> tuple[Tensor, Any]:
        return ConstantPad.forward(x, pad, 0 if value is None else value)

    @staticmethod
    def vjp(pad: Any, d_y: Tensor) -> tuple[Any, ...]:
        return ConstantPad.vjp(pad, d_y)


def _around(d_y: Tensor, dim: int, left: int, right: int, mode: str) -> Tensor:
    """Along one dimension: the inside of dy, and each part of the padding added to where it was taken from."""
    n = d_y.shape[dim] - left - right
    d_x = d_y.narrow(dim, left, n).clone()
    before, after = d_y.narrow(dim, 0, left), d_y.narrow(dim, left + n, right)
    if mode == "reflect":
        d_x.narrow(dim, 1, left).add_(before.flip(dim))
        d_x.narrow(dim, n - 1 - right, right).add_(after.flip(dim))
    elif mode == "circular":
        d_x.narrow(dim, n - left, left).add_(before)
        d_x.narrow(dim, 0, right).add_(after)
    else:
        d_x.narrow(dim, 0, 1).add_(before.sum(dim, keepdim=True))
        d_x.narrow(dim, n - 1, 1).add_(after.sum(dim, keepdim=True))
    return d_x


def _from_within(_inputs: Any, attributes: Any) -> bool:
    return attributes["mode"] != "constant" and all(p >= 0 for p in attributes["pad"])


@register_map("aten.pad.default", when=_from_within)
class PadFromWithin(Map):
    """y = x, with its elements around it: reflected at its borders, its borders repeated, or x itself repeated.
    dx = dy inside, and what is around it added to where it was taken from
    """

    @staticmethod
    def forward(x: Tensor, pad: Sequence[int], mode: str, value: float | None = None) -> tuple[Tensor, Any]:  # noqa: ARG004
        return torch.nn.functional.pad(x, tuple(pad), mode), (pad, mode)

    @staticmethod
    def vjp(saved: Any, d_y: Tensor) -> tuple[Any, ...]:
        pad, mode = saved
        for dim, left, right in _sides(pad, d_y.dim()):
            d_y = _around(d_y, dim, left, right, mode)
        return (d_y,)
