"""Images read at places of one's own (Jaderberg et al. 2015). N examples, C channels, P positions of x, Q places."""

# ruff: noqa: D102 - the class's docstring holds the equations of both functions

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from distbp.maps.base import Map
from distbp.maps.registry import register_map

aten = torch.ops.aten


@register_map("aten.grid_sampler.default")
@register_map("aten.grid_sampler_2d.default")
@register_map("aten.grid_sampler_3d.default")
class GridSample(Map):
    """y_q = sum_p w_p(g_q) x_p over the positions around g_q   (N,C,P) (N,Q,2 or 3) -> (N,C,Q).
    dx_p = sum_q w_p(g_q) dy_q,  dg_q = sum_cp x_p w_p'(g_q) dy_q
    """

    @staticmethod
    def forward(
        x: Tensor, grid: Tensor, interpolation_mode: int, padding_mode: int, align_corners: bool
    ) -> tuple[Tensor, Any]:
        told = (interpolation_mode, padding_mode, align_corners)
        sample = aten.grid_sampler_2d if x.dim() == 4 else aten.grid_sampler_3d
        return sample(x, grid, *told), (x, grid, told)

    @staticmethod
    def vjp(saved: Any, d_y: Tensor) -> tuple[Any, ...]:
        x, grid, told = saved
        backward = aten.grid_sampler_2d_backward if x.dim() == 4 else aten.grid_sampler_3d_backward
        d_x, d_grid = backward(d_y, x, grid, *told, [True, True])  # at once: both need the weights
        return d_x, d_grid


@register_map("aten.affine_grid_generator.default")
class AffineGrid(Map):
    """g_q = A (q, 1), q from -1 to 1 in each dimension   (N,D,D+1) -> (N,Q,D).
    dA = sum_q dg_q (q, 1)^T
    """

    @staticmethod
    def forward(theta: Tensor, size: Sequence[int], align_corners: bool) -> tuple[Tensor, Any]:
        return aten.affine_grid_generator(theta, size, align_corners), (size, align_corners)

    @staticmethod
    def vjp(saved: Any, d_grid: Tensor) -> tuple[Any, ...]:
        return (aten.affine_grid_generator_backward(d_grid, *saved),)
