"""Negative log-likelihoods of classes. N examples, C classes, "..." positions of an example, s_n the factor of one
example's loss: 1, for the mean over their total weight, 0 where the target is ignored.
"""

# ruff: noqa: D102, PLR0917 - the class's docstring holds both equations; the arguments are the op's

from typing import Any

import torch
from torch import Tensor

from distbp.maps.base import Map, Turn
from distbp.maps.registry import register_map

aten = torch.ops.aten

CHUNK_BYTES = 2 << 20
"""The logits held at once, were they float32: they stay in a core's cache from the product to its gradients."""
CUDA_CHUNK_BYTES = 128 << 20
"""The same on a GPU, where a chunk must fill all its processors and small ones would wait for their launches."""


class Frame:
    """The shapes (R,C) or (N,C,1,L) that the kernels know, for scores (C), (N,C) or (N,C,...)."""

    def __init__(self, x: Tensor) -> None:
        self.shape = x.shape
        # Classes in the last place of memory make rows without a copy; and on a GPU only rows have one order of sums.
        self.rows = x.dim() < 3 or x.is_cuda or x.movedim(1, -1).is_contiguous()

    def scores(self, x: Tensor) -> Tensor:
        """``x`` as the kernels want it."""
        if self.rows:
            return x if x.dim() == 2 else x[None] if x.dim() == 1 else x.movedim(1, -1).reshape(-1, x.shape[1])
        return x.reshape(*x.shape[:2], 1, -1)

    def targets(self, target: Tensor) -> Tensor:
        """A value of each example likewise."""
        if not self.rows:
            return target.reshape(target.shape[0], 1, -1)
        return target if target.dim() == 1 else target.reshape(-1)

    def gradient(self, d: Tensor) -> Tensor:
        """The gradient of scores, in the shape of theirs."""
        if not self.rows or len(self.shape) < 3:
            return d if d.shape == self.shape else d.view(self.shape)
        return d.view(self.shape[0], *self.shape[2:], self.shape[1]).movedim(-1, 1)

    def loss(self, log_p: Tensor, target: Tensor, *rest: Any) -> tuple[Tensor, Tensor]:
        """The loss and its total weight: ``rest`` is weight, reduction, ignore_index."""
        kernel = aten.nll_loss_forward if self.rows else aten.nll_loss2d_forward
        loss, total = kernel(log_p, self.targets(target), *rest)
        return loss if rest[1] or loss.shape == target.shape else loss.view(target.shape), total

    def loss_vjp(self, d_l: Tensor, log_p: Tensor, target: Tensor, *rest: Any) -> Tensor:
        """The gradient of ``log_p``: ``rest`` is weight, reduction, ignore_index, total weight."""
        kernel = aten.nll_loss_backward if self.rows else aten.nll_loss2d_backward
        d: Tensor = kernel(self.targets(d_l) if rest[1] == 0 else d_l, log_p, self.targets(target), *rest)
        return d


@register_map("aten.nll_loss_nd.default")
@register_map("aten.nll_loss.default")
@register_map("aten.nll_loss2d.default")
class LogLikelihood(Map):
    """l = -sum_n s_n w_t x_nt, t the true class of n   (N,C,...) (N,...) (C) -> () or (N,...).
    dx_nc = -s_n w_t [c = t] dl
    """

    @staticmethod
    def forward(
        x: Tensor, target: Tensor, weight: Tensor | None = None, reduction: int = 1, ignore_index: int = -100
    ) -> tuple[Tensor, Any]:
        frame = Frame(x)
        scores = frame.scores(x)
        loss, total = frame.loss(scores, target, weight, reduction, ignore_index)
        return loss, (frame, scores, target, weight, reduction, ignore_index, total)

    @staticmethod
    def vjp(saved: Any, d_l: Tensor) -> tuple[Any, ...]:
        frame, *rest = saved
        return frame.gradient(frame.loss_vjp(d_l, *rest)), None, None


@register_map("aten.cross_entropy_loss.default")
class CrossEntropy(Map):
    """l = -sum_n s_n w_t log p_nt, p = softmax(x), t the true class of n   (N,C,...) (N,...) (C) -> () or (N,...).
    dx_nc = s_n w_t (p_nc - [c = t]) dl
    """

    @staticmethod
    def forward(
        x: Tensor, target: Tensor, weight: Tensor | None = None,
        reduction: int = 1, ignore_index: int = -100, label_smoothing: float = 0.0,  # noqa: ARG004
    ) -> tuple[Tensor, Any]:  # fmt: skip
        frame = Frame(x)
        log_p = torch.log_softmax(frame.scores(x), 1)
        loss, total = frame.loss(log_p, target, weight, reduction, ignore_index)
        return loss, (frame, log_p, target, weight, reduction, ignore_index, total)

    @staticmethod
    def vjp(saved: Any, d_l: Tensor) -> tuple[Any, ...]:
        frame, log_p, *rest = saved
        d_log_p = frame.loss_vjp(d_l, log_p, *rest)
        return frame.gradient(aten._log_softmax_backward_data(d_log_p, log_p, 1, log_p.dtype)), None, None


@register_map("aten.cross_entropy_loss.default", when=lambda _, attributes: attributes.get("label_smoothing", 0) > 0)
class SmoothCrossEntropy(Map):
    """l = -sum_n s_n sum_c q_nc log p_nc, p = softmax(x)   (N,C,...) (N,...) (C) -> () or (N,...).
    dx = s_n (p_nc sum_k q_nk - q_nc) dl, q_nc = (1 - e) w_t [c = t] + e w_c / C
    """

    @staticmethod
    def forward(
        x: Tensor, target: Tensor, weight: Tensor | None = None,
        reduction: int = 1, ignore_index: int = -100, label_smoothing: float = 0.0,
    ) -> tuple[Tensor, Any]:  # fmt: skip
        frame = Frame(x)
        log_p = torch.log_softmax(frame.scores(x), 1)
        loss, total = frame.loss(log_p, target, weight, reduction, ignore_index)
        share = _along_classes(weight, log_p)
        every = (log_p if share is None else log_p * share).sum(1)
        every = every.masked_fill_(frame.targets(target) == ignore_index, 0)
        every = every.view(target.shape) if reduction == 0 else every.sum()
        every = every / total if reduction == 1 else every
        e = label_smoothing
        loss = torch.sub(loss * (1 - e), every, alpha=e / log_p.shape[1])
        return loss, (frame, log_p, target, weight, reduction, ignore_index, total, e)

    @staticmethod
    def vjp(saved: Any, d_l: Tensor) -> tuple[Any, ...]:
        frame, log_p, *rest, e = saved
        target, weight, reduction, ignore_index, total = rest
        d_log_p = frame.loss_vjp(d_l * (1 - e), log_p, *rest)
        d = d_l / total if reduction == 1 else frame.targets(d_l) if reduction == 0 else d_l
        d = ((frame.targets(target) != ignore_index) * (d * (e / log_p.shape[1]))).unsqueeze(1)
        share = _along_classes(weight, log_p)
        d_log_p = d_log_p.sub_(d) if share is None else d_log_p.addcmul_(d, share, value=-1)
        return frame.gradient(aten._log_softmax_backward_data(d_log_p, log_p, 1, log_p.dtype)), None, None


@register_map("aten.cross_entropy_loss.default", when=lambda inputs, _: inputs[1].dtype.is_floating_point)
class SoftCrossEntropy(Map):
    """l = -s sum_nc w_c q_nc log p_nc, p = softmax(x), q = (1 - e) t + e/C   (N,C,...) (N,C,...) (C) -> () or (N,...).
    dx = s (p_nc sum_k w_k q_nk - w_c q_nc) dl,  dt = -s (1 - e) w_c log p_nc dl,  dw_c = -s sum_n q_nc log p_nc dl
    """

    @staticmethod
    def forward(
        x: Tensor, target: Tensor, weight: Tensor | None = None,
        reduction: int = 1, ignore_index: int = -100, label_smoothing: float = 0.0,  # noqa: ARG004
    ) -> tuple[Tensor, Any]:  # fmt: skip
        axis = min(1, x.dim() - 1)
        log_p = torch.log_softmax(x, axis)
        losses = (_smooth(target, weight, label_smoothing) * log_p).sum(axis).neg_()
        s = x.shape[axis] / x.numel() if reduction == 1 else 1.0
        return losses if reduction == 0 else losses.sum() * s, (log_p, target, weight, label_smoothing, s, axis)

    @staticmethod
    def vjp(saved: Any, d_l: Tensor) -> tuple[Any, ...]:
        log_p, target, weight, e, s, axis = saved
        d = d_l * -s
        d = d.unsqueeze(axis) if d.dim() else d
        d_log_p = _smooth(target, weight, e) * d
        share = _along_classes(weight, log_p)
        d_target = log_p * (d * (1 - e) if share is None else d * share * (1 - e))
        d_weight = share
        if weight is not None and share is not None:
            d_weight = (_smooth(target, None, e) * log_p * d).sum_to_size(share.shape).view(weight.shape)
        return aten._log_softmax_backward_data(d_log_p, log_p, axis, log_p.dtype), d_target, d_weight


def _smooth(target: Tensor, weight: Tensor | None, e: float) -> Tensor:
    q = target * (1 - e) + e / target.shape[min(1, target.dim() - 1)] if e else target
    share = _along_classes(weight, target)
    return q if share is None else q * share


def _along_classes(weight: Tensor | None, x: Tensor) -> Tensor | None:
    return None if weight is None else weight.view(-1, *[1] * (x.dim() - 2))


def _whole(inputs: Any, attributes: Any) -> bool:
    hard = not inputs[3].dtype.is_floating_point
    return hard and attributes.get("reduction", 1) in (1, 2) and not attributes.get("label_smoothing", 0)


@register_map("distbp.linear_cross_entropy.default", when=_whole)
class LinearCrossEntropy(Turn):
    """l = -sum_n s_n w_t log p_nt, p = softmax(z), z = x W^T + b   (...,I) (C,I) (C) (...) (C) -> ().
    dx_n = g_n e_n W,  dW = sum_n g_n e_n^T x_n,  db = sum_n g_n e_n,  e_nc = p_nc - [c = t], g_n = s_n w_t dl
    """

    @staticmethod
    def forward(
        x: Tensor, W: Tensor, b: Tensor | None, target: Tensor, weight: Tensor | None = None,
        reduction: int = 1, ignore_index: int = -100, label_smoothing: float = 0.0,  # noqa: ARG004
    ) -> tuple[Tensor, Any]:  # fmt: skip
        labels, s = _factors(x, target, weight, reduction, ignore_index)
        rows = _rows(x)
        losses = [_chunk(rows[at], W, b, labels[at])[0] for at in _chunks(len(rows), W)]
        return torch.dot(torch.cat(losses), s), (x, W, b, target, weight, reduction, ignore_index)

    @staticmethod
    def vjp(saved: Any, d_l: Tensor) -> tuple[Any, ...]:
        return LinearCrossEntropy.turn(d_l, *saved)[1]

    @staticmethod
    def turn(
        d_l: Tensor, x: Tensor, W: Tensor, b: Tensor | None, target: Tensor, weight: Tensor | None = None,
        reduction: int = 1, ignore_index: int = -100, label_smoothing: float = 0.0,  # noqa: ARG004
    ) -> tuple[Tensor, tuple[Any, ...]]:  # fmt: skip
        labels, s = _factors(x, target, weight, reduction, ignore_index)
        g = s * d_l
        rows = _rows(x)
        losses, d_x, d_w, d_b = [], rows.new_empty(rows.shape), None, None
        for at in _chunks(len(rows), W):
            loss, p = _chunk(rows[at], W, b, labels[at])
            losses.append(loss)
            error = p.scatter_add_(1, labels[at, None], p.new_full((), -1).expand(len(p), 1)).t()
            # The factor multiplies what is I wide, never what is C wide.
            scaled = rows[at] * g[at, None]
            d_x[at].addmm_(error.t(), W, beta=0).mul_(g[at, None])
            d_w = torch.mm(error, scaled) if d_w is None else d_w.addmm_(error, scaled)
            if b is not None:
                d_b = torch.mv(error, g[at]) if d_b is None else d_b.addmv_(error, g[at])
        return torch.dot(torch.cat(losses), s), (d_x if x.dim() == 2 else d_x.view(x.shape), d_w, d_b, None, None)


def _rows(x: Tensor) -> Tensor:
    return x if x.dim() == 2 else x.reshape(-1, x.shape[-1])


def _factors(
    x: Tensor, target: Tensor, weight: Tensor | None, reduction: int, ignore_index: int
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """The label of each row, 0 where it is ignored, and the factor of its loss, ``s_n w_t``."""
    labels = target.reshape(-1)
    ignored = labels == ignore_index
    labels = labels.masked_fill(ignored, 0)
    s = x.new_ones(labels.shape) if weight is None else weight.index_select(0, labels)
    s = s.masked_fill_(ignored, 0)
    return labels, s / s.sum() if reduction == 1 else s


def _chunk(x: Tensor, W: Tensor, b: Tensor | None, labels: Tensor) -> tuple[Tensor, Tensor]:
    """The losses of some rows, and their probabilities."""
    z = torch.mm(x, W.t()) if b is None else torch.addmm(b, x, W.t())
    p = z.softmax(1)
    # log sum exp z = max z - log max p: two reads, where a log-softmax would have all exponentials formed twice.
    log_sum = z.amax(1) - p.amax(1).log()
    return log_sum.sub_(z.gather(1, labels[:, None]).squeeze(1)), p


def _chunks(rows: int, W: Tensor) -> list[slice]:
    at_once = max(16, (CUDA_CHUNK_BYTES if W.is_cuda else CHUNK_BYTES) // (4 * W.shape[0]) // 16 * 16)
    return [slice(i, min(i + at_once, rows)) for i in range(0, rows, at_once)]
