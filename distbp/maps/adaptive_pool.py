"""Pooling to a given number of windows, which share the positions.

N examples, C channels, P positions, Q windows.
"""

# ruff: noqa: D102 - the class's docstring holds the equations of both functions

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from distbp.maps.base import Map
from distbp.maps.pool import shaped, shell
from distbp.maps.registry import register_map

aten = torch.ops.aten


def _one_window(_inputs: Any, attributes: Any) -> bool:
    return all(size == 1 for size in attributes["output_size"])


@register_map("aten.adaptive_avg_pool2d.default")
class AdaptiveMeanPool2d(Map):
    """y_q = sum_(p in q) x_p / M_q, M_q the size of window q   (N,C,P) -> (N,C,Q).
    dx_p = sum_(q with p) dy_q / M_q
    """

    @staticmethod
    def forward(x: Tensor, output_size: Sequence[int]) -> tuple[Tensor, Any]:
        return aten._adaptive_avg_pool2d(x, output_size), shell(x)

    @staticmethod
    def vjp(known: Any, d_y: Tensor) -> tuple[Any, ...]:
        return (aten._adaptive_avg_pool2d_backward(d_y, shaped(known, d_y)),)


@register_map("aten.adaptive_avg_pool1d.default")
class AdaptiveMeanPool1d(Map):
    """y_q = sum_(p in q) x_p / M_q, M_q the size of window q   (N,C,P) -> (N,C,Q).
    dx_p = sum_(q with p) dy_q / M_q
    """

    @staticmethod
    def forward(x: Tensor, output_size: Sequence[int]) -> tuple[Tensor, Any]:
        y, known = AdaptiveMeanPool2d.forward(x.unsqueeze(-2), [1, *output_size])
        return y.squeeze(-2), known

    @staticmethod
    def vjp(known: Any, d_y: Tensor) -> tuple[Any, ...]:
        (d_x,) = AdaptiveMeanPool2d.vjp(known, d_y.unsqueeze(-2))
        return (d_x.squeeze(-2),)


@register_map("aten.adaptive_avg_pool3d.default")
class AdaptiveMeanPool3d(Map):
    """y_q = sum_(p in q) x_p / M_q, M_q the size of window q   (N,C,P) -> (N,C,Q).
    dx_p = sum_(q with p) dy_q / M_q
    """

    @staticmethod
    def forward(x: Tensor, output_size: Sequence[int]) -> tuple[Tensor, Any]:
        return aten._adaptive_avg_pool3d(x, output_size), shell(x)

    @staticmethod
    def vjp(known: Any, d_y: Tensor) -> tuple[Any, ...]:
        return (aten._adaptive_avg_pool3d_backward(d_y, shaped(known, d_y)),)


@register_map("aten.adaptive_avg_pool1d.default", when=_one_window)
@register_map("aten.adaptive_avg_pool2d.default", when=_one_window)
@register_map("aten.adaptive_avg_pool3d.default", when=_one_window)
class GlobalMean(Map):
    """y = sum_p x_p / P   (N,C,P) -> (N,C,1).
    dx_p = dy / P
    """

    @staticmethod
    def forward(x: Tensor, output_size: Sequence[int]) -> tuple[Tensor, Any]:
        return x.mean([*range(-len(output_size), 0)], keepdim=True), x.shape

    @staticmethod
    def vjp(shape: Any, d_y: Tensor) -> tuple[Any, ...]:
        positions = shape.numel() // max(d_y.numel(), 1)
        return ((d_y / positions).expand(shape),)


@register_map("aten.adaptive_max_pool2d.default")
class AdaptiveMaxPool2d(Map):
    """y_q = x_i(q), i(q) the first maximum of window q   (N,C,P) -> (N,C,Q) (N,C,Q).
    dx_p = sum_q [p = i(q)] dy_q
    """

    @staticmethod
    def forward(x: Tensor, output_size: Sequence[int]) -> tuple[Any, Any]:
        y, i = aten.adaptive_max_pool2d(x, output_size)
        return (y, i), (shell(x), i)

    @staticmethod
    def vjp(saved: Any, d_outputs: Any) -> tuple[Any, ...]:
        known, i = saved
        d_y, _ = d_outputs
        return (aten.adaptive_max_pool2d_backward(d_y, shaped(known, d_y), i),)


@register_map("aten.adaptive_max_pool1d.default")
class AdaptiveMaxPool1d(Map):
    """y_q = x_i(q), i(q) the first maximum of window q   (N,C,P) -> (N,C,Q) (N,C,Q).
    dx_p = sum_q [p = i(q)] dy_q
    """

    @staticmethod
    def forward(x: Tensor, output_size: Sequence[int]) -> tuple[Any, Any]:
        (y, i), saved = AdaptiveMaxPool2d.forward(x.unsqueeze(-2), [1, *output_size])
        return (y.squeeze(-2), i.squeeze(-2)), saved

    @staticmethod
    def vjp(saved: Any, d_outputs: Any) -> tuple[Any, ...]:
        (d_x,) = AdaptiveMaxPool2d.vjp(saved, (d_outputs[0].unsqueeze(-2), None))
        return (d_x.squeeze(-2),)


@register_map("aten.adaptive_max_pool3d.default")
class AdaptiveMaxPool3d(Map):
    """y_q = x_i(q), i(q) the first maximum of window q   (N,C,P) -> (N,C,Q) (N,C,Q).
    dx_p = sum_q [p = i(q)] dy_q
    """

    @staticmethod
    def forward(x: Tensor, output_size: Sequence[int]) -> tuple[Any, Any]:
        y, i = aten.adaptive_max_pool3d(x, output_size)
        return (y, i), (shell(x), i)

    @staticmethod
    def vjp(saved: Any, d_outputs: Any) -> tuple[Any, ...]:
        known, i = saved
        d_y, _ = d_outputs
        return (aten.adaptive_max_pool3d_backward(d_y, shaped(known, d_y), i),)
