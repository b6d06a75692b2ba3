"""Losses of elements and their targets. M elements, or as many as broadcast; d is dl, over M for the mean."""

# ruff: noqa: D102, PLR0917 - the class's docstring holds both equations; the arguments are the op's

from typing import Any

import torch
from torch import Tensor

from distbp.maps.base import Map
from distbp.maps.reduction import reduced, spread
from distbp.maps.registry import register_map

aten = torch.ops.aten


@register_map("aten.mse_loss.default")
class SquaredError(Map):
    """l = sum or mean of (x - t)^2   (M) (M) -> () or (M).
    dx = 2 (x - t) d,  dt = -dx
    """

    @staticmethod
    def forward(x: Tensor, target: Tensor, reduction: int = 1) -> tuple[Tensor, Any]:
        return aten.mse_loss(x, target, reduction), (x, target, reduction)

    @staticmethod
    def vjp(saved: Any, d_l: Tensor) -> tuple[Any, ...]:
        return _opposite(aten.mse_loss_backward(d_l, *saved), *saved[:2])


@register_map("aten.l1_loss.default")
class AbsoluteError(Map):
    """l = sum or mean of |x - t|   (M) (M) -> () or (M).
    dx = sign(x - t) d,  dt = -dx
    """

    @staticmethod
    def forward(x: Tensor, target: Tensor, reduction: int = 1) -> tuple[Tensor, Any]:
        error = x - target
        return reduced(error.abs(), reduction), (error, x.shape, target.shape, reduction)

    @staticmethod
    def vjp(saved: Any, d_l: Tensor) -> tuple[Any, ...]:
        error, of_x, of_target, reduction = saved
        d_x = error.sign().mul_(spread(d_l, reduction, error.numel()))
        return d_x.sum_to_size(of_x), d_x.neg().sum_to_size(of_target)


@register_map("aten.smooth_l1_loss.default")
class SmoothAbsoluteError(Map):
    """l = sum or mean of e^2 / 2 beta where |e| < beta, else |e| - beta / 2, e = x - t   (M) (M) -> () or (M).
    dx = clamp(e / beta, -1, 1) d,  dt = -dx
    """

    @staticmethod
    def forward(x: Tensor, target: Tensor, reduction: int = 1, beta: float = 1.0) -> tuple[Tensor, Any]:
        return aten.smooth_l1_loss(x, target, reduction, beta), (x, target, reduction, beta)

    @staticmethod
    def vjp(saved: Any, d_l: Tensor) -> tuple[Any, ...]:
        return _opposite(aten.smooth_l1_loss_backward(d_l, *saved), *saved[:2])


@register_map("aten.huber_loss.default")
class Huber(Map):
    """l = sum or mean of e^2 / 2 where |e| < delta, else delta (|e| - delta / 2), e = x - t   (M) (M) -> () or (M).
    dx = clamp(e, -delta, delta) d,  dt = -dx
    """

    @staticmethod
    def forward(x: Tensor, target: Tensor, reduction: int = 1, delta: float = 1.0) -> tuple[Tensor, Any]:
        return aten.huber_loss(x, target, reduction, delta), (x, target, reduction, delta)

    @staticmethod
    def vjp(saved: Any, d_l: Tensor) -> tuple[Any, ...]:
        return _opposite(aten.huber_loss_backward(d_l, *saved), *saved[:2])


@register_map("aten.binary_cross_entropy.default")
class BinaryCrossEntropy(Map):
    """l = sum or mean of -w (t log p + (1 - t) log(1 - p)), a logarithm no less than -100   (M) (M) (M) -> () or (M).
    dp = w (p - t) / (p (1 - p)) d,  dt = w (log(1 - p) - log p) d
    """

    @staticmethod
    def forward(
        p: Tensor, target: Tensor, weight: Tensor | None = None, reduction: int = 1
    ) -> tuple[Tensor, Any]:  # fmt: skip
        return aten.binary_cross_entropy(p, target, weight, reduction), (p, target, weight, reduction)

    @staticmethod
    def vjp(saved: Any, d_l: Tensor) -> tuple[Any, ...]:
        p, _, weight, reduction = saved
        d = _weighted(spread(d_l, reduction, p.numel()), weight)
        d_target = (-p).log1p_().clamp_min_(-100).sub_(p.log().clamp_min_(-100)).mul_(d)
        return aten.binary_cross_entropy_backward(d_l, *saved), d_target, None


@register_map("aten.binary_cross_entropy_with_logits.default")
class LogitCrossEntropy(Map):
    """l = sum or mean of w ((1 - t) x - (1 + (q - 1) t) log s), s = sigmoid(x)   (M) (M) (M) (M) -> () or (M).
    dx = w ((1 + (q - 1) t) s - q t) d,  dt = -w (x + (q - 1) log s) d
    """

    @staticmethod
    def forward(
        x: Tensor, target: Tensor, weight: Tensor | None = None, pos_weight: Tensor | None = None, reduction: int = 1
    ) -> tuple[Tensor, Any]:
        log_s = torch.nn.functional.logsigmoid(x)
        log_s = log_s if pos_weight is None else log_s * _positive(target, pos_weight)
        losses = _weighted((1 - target).mul_(x).sub_(log_s), weight)
        return reduced(losses, reduction), (x, target, weight, pos_weight, reduction)

    @staticmethod
    def vjp(saved: Any, d_l: Tensor) -> tuple[Any, ...]:
        x, target, weight, q, reduction = saved
        d = _weighted(spread(d_l, reduction, x.numel()), weight)
        s = x.sigmoid()
        if q is None:
            return s.sub_(target).mul_(d), x * -d, None, None
        d_x = s.mul_(_positive(target, q)).sub_(q * target).mul_(d)
        d_target = torch.nn.functional.logsigmoid(x).mul_(1 - q).sub_(x).mul_(d)
        return d_x, d_target, None, None


@register_map("aten.kl_div.default")
class Divergence(Map):
    """l = sum or mean of t (log t - x), x a logarithm   (M) (M) -> () or (M).
    dx = -t d,  dt = (log t + 1 - x) d
    """

    @staticmethod
    def forward(
        x: Tensor, target: Tensor, reduction: int = 1, log_target: bool = False  # noqa: ARG004
    ) -> tuple[Tensor, Any]:  # fmt: skip
        losses = torch.xlogy(target, target) - target * x
        return reduced(losses, reduction), (x, target, reduction, losses.shape)

    @staticmethod
    def vjp(saved: Any, d_l: Tensor) -> tuple[Any, ...]:
        x, target, reduction, shape = saved
        d = spread(d_l, reduction, shape.numel())
        d_target = (target.log() - x).add_(1).mul_(d)
        return (target * (-d).expand(shape)).sum_to_size(x.shape), d_target.sum_to_size(target.shape)


@register_map("aten.kl_div.default", when=lambda _, attributes: attributes.get("log_target", False))
class LogDivergence(Map):
    """l = sum or mean of e^t (t - x), x and t logarithms   (M) (M) -> () or (M).
    dx = -e^t d,  dt = e^t (t - x + 1) d
    """

    @staticmethod
    def forward(
        x: Tensor, target: Tensor, reduction: int = 1, log_target: bool = True  # noqa: ARG004
    ) -> tuple[Tensor, Any]:  # fmt: skip
        losses = (target - x).mul_(target.exp())
        return reduced(losses, reduction), (x, target, reduction, losses.shape)

    @staticmethod
    def vjp(saved: Any, d_l: Tensor) -> tuple[Any, ...]:
        x, target, reduction, shape = saved
        d = spread(d_l, reduction, shape.numel())
        d_target = (target - x).add_(1).mul_(target.exp()).mul_(d)
        return (target.exp() * (-d).expand(shape)).sum_to_size(x.shape), d_target.sum_to_size(target.shape)


@register_map("aten.poisson_nll_loss.default")
class Poisson(Map):
    """l = sum or mean of m - t log m (+ log t! by Stirling where t > 1), m = e^x or x + eps   (M) (M) -> () or (M).
    dx = (m - t) d or (1 - t / m) d,  dt = (log t + 1 / 2 t - log m) d, its first terms where t > 1
    """

    @staticmethod
    def forward(
        x: Tensor, target: Tensor, log_input: bool, full: bool, eps: float, reduction: int
    ) -> tuple[Tensor, Any]:  # fmt: skip
        mean = x.exp() if log_input else x + eps
        losses = mean - target * x if log_input else x - target * mean.log()
        if full:
            stirling = target * target.log() - target + (2 * torch.pi * target).log_().mul_(0.5)
            losses = losses + stirling.masked_fill(target <= 1, 0)
        return reduced(losses, reduction), (x, mean, target, log_input, full, reduction, losses.shape)

    @staticmethod
    def vjp(saved: Any, d_l: Tensor) -> tuple[Any, ...]:
        x, mean, target, log_input, full, reduction, shape = saved
        d = spread(d_l, reduction, shape.numel()).expand(shape)
        d_x = mean - target if log_input else (1 - target / mean)
        d_target = -x if log_input else mean.log().neg_()
        if full:
            d_target = d_target + (target.log() + 0.5 / target).masked_fill(target <= 1, 0)
        return (d_x * d).sum_to_size(x.shape), (d_target * d).sum_to_size(target.shape)


def _opposite(d_x: Tensor, x: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    return d_x.sum_to_size(x.shape), d_x.neg().sum_to_size(target.shape)


def _weighted(values: Tensor, weight: Tensor | None) -> Tensor:
    return values if weight is None else values * weight


def _positive(target: Tensor, q: Tensor) -> Tensor:
    return target * (q - 1) + 1
