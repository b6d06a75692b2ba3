"""Lengths of vectors: p-norms over dimensions."""

# ruff: noqa: D102 - the class's docstring holds the equations of both functions

import math
from typing import Any

import torch
from torch import Tensor

from distbp.maps.base import Map
from distbp.maps.reduce import kept
from distbp.maps.registry import register_map


def _differentiable(inputs: Any, attributes: Any) -> bool:
    return attributes["ord"] >= 1 and attributes["dtype"] in (None, inputs[0].dtype)


@register_map("aten.linalg_vector_norm.default", when=_differentiable)
class Norm(Map):
    """y = (sum_dim |x|^p)^(1/p); max_dim |x| for p = inf.
    dx = sign(x) |x / y|^(p-1) dy, 0 where y = 0; for p = inf, sign(x) dy shared by the elements with |x| = y
    """

    @staticmethod
    def forward(
        x: Tensor,
        ord: float = 2,
        dim: list[int] | None = None,
        keepdim: bool = False,
        dtype: torch.dtype | None = None,  # noqa: ARG004
    ) -> tuple[Tensor, Any]:
        y = torch.linalg.vector_norm(x, ord, dim, keepdim)
        return y, (x, y, ord, dim)

    @staticmethod
    def vjp(saved: Any, d_y: Tensor) -> tuple[Any, ...]:
        x, y, order, dim = saved
        small = kept(x.shape, dim)
        y, d_y = y.reshape(small), d_y.reshape(small)
        if order == 1:
            return (torch.sgn(x).mul_(d_y),)
        if order == 2:
            return (x * (d_y / y).masked_fill_(y == 0, 0),)
        if order == math.inf:
            ties = x.abs() == y
            return (torch.sgn(x).mul_(ties).mul_(d_y / ties.sum(dim, keepdim=True).reshape(small)),)
        d = (d_y / y ** (order - 1)).masked_fill_(y == 0, 0)
        return (x.abs().pow_(order - 1).mul_(torch.sgn(x)).mul_(d),)


def _of_a_vector(inputs: Any, attributes: Any) -> bool:
    dim, order = attributes["dim"], attributes["ord"]
    plain = order is None or (len(dim or inputs[0].shape) == 1 and order >= 1)
    return plain and attributes["dtype"] in (None, inputs[0].dtype)


@register_map("aten.linalg_norm.default", when=_of_a_vector)
class VectorNorm(Map):
    """y = (sum_dim |x|^p)^(1/p), p = 2 if none is given.
    dx = sign(x) |x / y|^(p-1) dy, 0 where y = 0
    """

    @staticmethod
    def forward(
        x: Tensor,
        ord: float | None = None,
        dim: list[int] | None = None,
        keepdim: bool = False,
        dtype: torch.dtype | None = None,
    ) -> tuple[Tensor, Any]:
        return Norm.forward(x, 2 if ord is None else ord, dim, keepdim, dtype)

    @staticmethod
    def vjp(saved: Any, d_y: Tensor) -> tuple[Any, ...]:
        return Norm.vjp(saved, d_y)
