"""Losses that ask for a margin. N examples, C classes, M elements; d is dl, over the elements for the mean."""

# ruff: noqa: D102, PLR0917 - the class's docstring holds both equations; the arguments are the op's

from typing import Any

import torch
from torch import Tensor

from distbp.maps.base import Map
from distbp.maps.reduction import reduced, spread
from distbp.maps.registry import register_map

aten = torch.ops.aten


@register_map("aten.hinge_embedding_loss.default")
class HingeEmbedding(Map):
    """l = sum or mean of x where t = 1, max(0, margin - x) where t = -1   (M) (M) -> () or (M).
    dx = ([t != -1] - [t != 1][x <= margin]) d
    """

    @staticmethod
    def forward(x: Tensor, target: Tensor, margin: float = 1.0, reduction: int = 1) -> tuple[Tensor, Any]:
        losses = (margin - x).clamp_min_(0).masked_fill_(target == 1, 0) + x.masked_fill(target == -1, 0)
        return reduced(losses, reduction), (x, target, margin, reduction)

    @staticmethod
    def vjp(saved: Any, d_l: Tensor) -> tuple[Any, ...]:
        x, target, margin, reduction = saved
        d = spread(d_l, reduction, x.numel())
        apart = (target != 1) & (x <= margin)
        return (target != -1).to(x.dtype).sub_(apart.to(x.dtype)).mul_(d), None


@register_map("aten.margin_ranking_loss.default")
class Ranking(Map):
    """l = sum or mean of max(0, margin - t (a - b))   (M) (M) (M) -> () or (M).
    da = -t [l >= 0] d,  db = -da,  dt = (b - a) [l >= 0] d
    """

    @staticmethod
    def forward(
        a: Tensor, b: Tensor, target: Tensor, margin: float = 0.0, reduction: int = 1
    ) -> tuple[Tensor, Any]:  # fmt: skip
        short = (b - a).mul(target).add_(margin)
        return reduced(short.clamp_min(0), reduction), (a, b, target, short, reduction)

    @staticmethod
    def vjp(saved: Any, d_l: Tensor) -> tuple[Any, ...]:
        a, b, target, short, reduction = saved
        d = (short >= 0) * spread(d_l, reduction, short.numel())
        d_b = d * target
        return d_b.neg().sum_to_size(a.shape), d_b.sum_to_size(b.shape), ((b - a) * d).sum_to_size(target.shape)


@register_map("aten.soft_margin_loss.default")
class SoftMargin(Map):
    """l = sum or mean of log(1 + exp(-t x))   (M) (M) -> () or (M).
    dx = -t sigmoid(-t x) d
    """

    @staticmethod
    def forward(x: Tensor, target: Tensor, reduction: int = 1) -> tuple[Tensor, Any]:
        return aten.soft_margin_loss(x, target, reduction), (x, target, reduction)

    @staticmethod
    def vjp(saved: Any, d_l: Tensor) -> tuple[Any, ...]:
        return aten.soft_margin_loss_backward(d_l, *saved), None


@register_map("aten.multi_margin_loss.default")
class MultiMargin(Map):
    """l = sum or mean over n of sum_c u_nc^p w_t / C, u_nc = max(0, margin + x_nc - x_nt)   (N,C) (N) (C) -> () or (N).
    dx_nc = p u_nc^(p-1) w_t d / C, its sum over c taken from dx_nt
    """

    @staticmethod
    def forward(
        x: Tensor, target: Tensor, weight: Tensor | None = None, p: float = 1, margin: float = 1, reduction: int = 1
    ) -> tuple[Tensor, Any]:
        y = aten.multi_margin_loss(x, target, p, margin, weight, reduction)
        return y, (x, target, p, margin, weight, reduction)

    @staticmethod
    def vjp(saved: Any, d_l: Tensor) -> tuple[Any, ...]:
        return aten.multi_margin_loss_backward(d_l, *saved), None, None


@register_map("aten.multilabel_margin_loss.default")
class MultilabelMargin(Map):
    """l = sum or mean over n of sum_tc max(0, 1 - x_nt + x_nc) / C, t true and c not   (N,C) (N,C) -> () or (N).
    dx_nc = sum_t [1 - x_nt + x_nc > 0] d / C,  dx_nt = -sum_c [1 - x_nt + x_nc > 0] d / C
    """

    @staticmethod
    def forward(x: Tensor, target: Tensor, reduction: int = 1) -> tuple[Tensor, Any]:
        y, true = aten.multilabel_margin_loss_forward(x, target, reduction)
        return y, (x, target, reduction, true)

    @staticmethod
    def vjp(saved: Any, d_l: Tensor) -> tuple[Any, ...]:
        return aten.multilabel_margin_loss_backward(d_l, *saved), None
