"""Dropout (Srivastava et al. 2014): the only maps of a perceptron that draw."""

# ruff: noqa: D102 - the class's docstring holds the equations of both functions

from typing import Any

import torch
from torch import Generator, Tensor

from distbp.maps.base import Map
from distbp.maps.into import Into
from distbp.maps.registry import register_map


@register_map("aten.dropout.default")
class Dropout(Map):
    """y = m x, m = 0 with probability p, else 1 / (1 - p).
    dx = m dy
    """

    random = True
    owned = True

    @staticmethod
    def forward(x: Tensor, p: float, train: bool, generator: Generator) -> tuple[Tensor, Tensor]:  # noqa: ARG004
        # torch's own recipe on a CPU, so that equal seeds give the masks of nn.Dropout
        mask = torch.empty_like(x).bernoulli_(1 - p, generator=generator).div_(1 - p)
        return x * mask, mask

    @staticmethod
    def vjp(mask: Tensor, d_y: Tensor, into: tuple[Into, ...]) -> tuple[Any, ...]:
        return (into[0].put(d_y * mask),)


@register_map("aten.dropout.default", when=lambda _, attributes: attributes["p"] == 0 or not attributes["train"])
class DropNothing(Map):
    """y = x.
    dx = dy
    """

    @staticmethod
    def forward(x: Tensor, p: float, train: bool) -> tuple[Tensor, None]:  # noqa: ARG004
        return x, None

    @staticmethod
    def vjp(_saved: None, d_y: Tensor, into: tuple[Into, ...]) -> tuple[Any, ...]:
        return (into[0].put(d_y),)


@register_map("aten.dropout.default", when=lambda _, attributes: attributes["p"] == 1 and attributes["train"])
class DropAll(Map):
    """y = 0 x.
    dx = 0 dy
    """

    owned = True

    @staticmethod
    def forward(x: Tensor, p: float, train: bool) -> tuple[Tensor, None]:  # noqa: ARG004
        return x * 0, None

    @staticmethod
    def vjp(_saved: None, d_y: Tensor, into: tuple[Into, ...]) -> tuple[Any, ...]:
        return (into[0].put(d_y * 0),)
