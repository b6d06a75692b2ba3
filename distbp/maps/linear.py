"""Affine maps. N examples, I features in, O features out; "..." any number of leading dimensions, none included."""

# ruff: noqa: D102 - the class's docstring holds the equations of both functions

from typing import Any

import torch
from torch import Tensor

from distbp.maps.base import Map
from distbp.maps.into import Into
from distbp.maps.registry import register_map


@register_map("aten.linear.default")
class LinearVector(Map):
    """y = W x + b   (I) (O,I) (O) -> (O).
    dx = W^T dy,  dW = dy x^T,  db = dy
    """

    @staticmethod
    def forward(x: Tensor, W: Tensor, b: Tensor | None = None) -> tuple[Tensor, Any]:
        return torch.nn.functional.linear(x, W, b), (x, W)

    @staticmethod
    def vjp(saved: Any, d_y: Tensor, into: tuple[Into, ...]) -> tuple[Any, ...]:
        x, W = saved
        return into[0].put(d_y @ W), into[1].mm(d_y[:, None], x[None]), into[2].put(d_y)


@register_map("aten.linear.default", when=lambda inputs, _: len(inputs[0].shape) > 1)
class Linear(Map):
    """y = x W^T + b   (...,I) (O,I) (O) -> (...,O).
    dx = dy W,  dW = sum dy^T x,  db = sum dy
    """

    owned = True

    @staticmethod
    def forward(x: Tensor, W: Tensor, b: Tensor | None = None) -> tuple[Tensor, Any]:
        return torch.nn.functional.linear(x, W, b), (x, W)

    @staticmethod
    def vjp(saved: Any, d_y: Tensor, into: tuple[Into, ...]) -> tuple[Any, ...]:
        x, W = saved
        rows = d_y.flatten(0, -2)
        return into[0].matmul(d_y, W), into[1].mm(rows.t(), x.flatten(0, -2)), into[2].sum(rows, (0,))
