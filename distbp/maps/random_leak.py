"""The rectifier whose leak is drawn for each element while training, and is its mean otherwise (Xu et al. 2015)."""

# ruff: noqa: D102 - the class's docstring holds the equations of both functions

from typing import Any

import torch
from torch import Generator, Tensor

from distbp.maps.base import Map
from distbp.maps.rectifier import LeakyRelu
from distbp.maps.registry import register_map


@register_map("aten.rrelu.default", when=lambda _, attributes: not attributes["training"])
class MeanLeakyRelu(Map):
    """y = x where x > 0, else c x, c = (lower + upper) / 2.
    dx = dy where x > 0, else c dy
    """

    @staticmethod
    def forward(
        x: Tensor,
        lower: float = 1 / 8,
        upper: float = 1 / 3,
        training: bool = False,  # noqa: ARG004
    ) -> tuple[Tensor, Any]:
        return LeakyRelu.forward(x, (lower + upper) / 2)

    @staticmethod
    def vjp(saved: Any, d_y: Tensor) -> tuple[Any, ...]:
        return LeakyRelu.vjp(saved, d_y)


@register_map("aten.rrelu.default", when=lambda _, attributes: attributes["training"])
class RandomLeakyRelu(Map):
    """y = m x, m = 1 where x > 0, else drawn evenly between lower and upper.
    dx = m dy
    """

    random = True

    @staticmethod
    def forward(
        x: Tensor,
        lower: float = 1 / 8,
        upper: float = 1 / 3,
        training: bool = True,
        *,
        generator: Generator,
    ) -> tuple[Tensor, Tensor]:
        noise = torch.empty_like(x)
        _, slope = torch.ops.aten.rrelu_with_noise_functional(x.detach(), noise, lower, upper, training, generator)
        return x * slope, slope

    @staticmethod
    def vjp(slope: Tensor, d_y: Tensor) -> tuple[Any, ...]:
        return (d_y * slope,)
