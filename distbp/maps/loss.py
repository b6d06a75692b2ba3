"""Losses. N examples, C classes; reduction 0 keeps each example's loss, 1 averages, 2 sums (torch's numbers)."""

# ruff: noqa: D102, PLR0917 - the class's docstring holds both equations; the arguments are the op's

from typing import Any

import torch
from torch import Tensor

from distbp.maps.base import Map
from distbp.maps.into import Into
from distbp.maps.registry import register_map


def _one_hot(inputs: Any, attributes: Any) -> bool:
    logits, target, _ = inputs
    return len(logits.shape) == 2 and not target.dtype.is_floating_point and not attributes["label_smoothing"]


@register_map("aten.cross_entropy_loss.default")
class SoftCrossEntropy(Map):
    """l = -s sum_nc q_nc log p_nc, p = softmax(x), q the targets smoothed and weighted   (N,C,...) -> () or (N,...).
    dx = s (p sum_c q - q) dl,  dq = -s log p dl
    """

    @staticmethod
    def forward(
        x: Tensor, target: Tensor, weight: Tensor | None = None,
        reduction: int = 1, ignore_index: int = -100, label_smoothing: float = 0.0,
    ) -> tuple[Tensor, Any]:  # fmt: skip
        axis = min(1, x.dim() - 1)
        w = x.new_ones(()) if weight is None else weight.view(-1, *[1] * (x.dim() - axis - 1))
        if target.is_floating_point():
            q, counted = target, x.new_tensor(x.numel() / x.shape[axis])
            kept = x.new_ones(())
        else:
            kept = (target != ignore_index).unsqueeze(axis)
            q = torch.zeros_like(x).scatter_(axis, target.unsqueeze(axis) * kept, 1) * kept
            counted = (q * w).sum()
        q = (q * (1 - label_smoothing) + label_smoothing / x.shape[axis]) * w * kept
        log_p = torch.log_softmax(x, axis)
        losses = -(q * log_p).sum(axis)
        s = 1 / counted if reduction == 1 else x.new_ones(())
        loss = losses if reduction == 0 else losses.sum() * s
        dq = (1 - label_smoothing) * w
        return loss, (log_p, q, s, dq, axis, losses.unsqueeze(axis).shape if reduction == 0 else [1] * x.dim())

    @staticmethod
    def vjp(saved: Any, d_l: Tensor, into: tuple[Into, ...]) -> tuple[Any, ...]:
        log_p, q, s, dq, axis, shape = saved
        d = (d_l * s).reshape(shape)
        d_x = into[0].put((log_p.exp() * q.sum(axis, keepdim=True) - q) * d)
        return d_x, into[1].product(-log_p * dq, d, log_p.shape), None


@register_map("aten.cross_entropy_loss.default", when=_one_hot)
class CrossEntropy(Map):
    """l = -s sum_n w_t(n) log p_nt(n), p = softmax(x), t the true classes   (N,C) (N) (C) -> () or (N).
    dx_nc = s w_t(n) (p_nc - [c = t(n)]) dl
    """

    owned = True

    @staticmethod
    def forward(
        x: Tensor, target: Tensor, weight: Tensor | None = None,
        reduction: int = 1, ignore_index: int = -100, label_smoothing: float = 0.0,  # noqa: ARG004
    ) -> tuple[Tensor, Any]:  # fmt: skip
        log_p = torch.log_softmax(x, 1)
        loss, total = torch.ops.aten.nll_loss_forward(log_p, target, weight, reduction, ignore_index)
        return loss, (log_p, target, weight, reduction, ignore_index, total)

    @staticmethod
    def vjp(saved: Any, d_l: Tensor, into: tuple[Into, ...]) -> tuple[Any, ...]:
        log_p = saved[0]
        d_log_p = torch.ops.aten.nll_loss_backward(d_l, *saved)
        d_x = into[0].put(torch.ops.aten._log_softmax_backward_data(d_log_p, log_p, 1, log_p.dtype))
        return d_x, None, None


@register_map("aten.mse_loss.default")
class SquaredError(Map):
    """l = s sum (x - t)^2, s = 1 for a sum, 1 / M for a mean over all M elements   (...) (...) -> () or (...).
    dx = 2 s (x - t) dl,  dt = -dx
    """

    owned = True

    @staticmethod
    def forward(x: Tensor, target: Tensor, reduction: int = 1) -> tuple[Tensor, Any]:
        return torch.ops.aten.mse_loss(x, target, reduction), (x, target, reduction)

    @staticmethod
    def vjp(saved: Any, d_l: Tensor, into: tuple[Into, ...]) -> tuple[Any, ...]:
        d_x = torch.ops.aten.mse_loss_backward(d_l, *saved)
        return into[0].put(d_x), into[1].scale(d_x, -1, d_x.shape)
