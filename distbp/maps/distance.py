"""Distances and angles between vectors, and their losses. N and M vectors of D numbers; "..." leading dimensions."""

# ruff: noqa: D102, PLR0917 - the class's docstring holds both equations; the arguments are the op's

from typing import Any

import torch
from torch import Tensor

from distbp.maps.base import Map
from distbp.maps.reduction import reduced, spread
from distbp.maps.registry import register_map

aten = torch.ops.aten


def _finite_norm(_inputs: Any, attributes: Any) -> bool:
    return 0 < float(attributes.get("p", 2.0)) < float("inf")


@register_map("aten.pairwise_distance.default", when=_finite_norm)
class PairwiseDistance(Map):
    """y = |u|_p, u = a - b + eps   (...,D) (...,D) -> (...).
    da = sign(u) |u|^(p-1) / y^(p-1) dy,  db = -da
    """

    @staticmethod
    def forward(
        a: Tensor, b: Tensor, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False
    ) -> tuple[Tensor, Any]:  # fmt: skip
        u = (a - b).add_(eps)
        y = torch.linalg.vector_norm(u, p, -1, keepdim=True)
        return y if keepdim else y.squeeze(-1), (u, y, a.shape, b.shape, p, keepdim)

    @staticmethod
    def vjp(saved: Any, d_y: Tensor) -> tuple[Any, ...]:
        u, y, of_a, of_b, p, keepdim = saved
        d_u = _norm_vjp(u, y, p, d_y if keepdim else d_y.unsqueeze(-1))
        return d_u.sum_to_size(of_a), d_u.neg().sum_to_size(of_b)


@register_map("aten.triplet_margin_loss.default", when=_finite_norm)
class TripletMargin(Map):
    """l = sum or mean of max(0, margin + |u|_p - |v|_p)   (...,D) (...,D) (...,D) -> () or (...).
    du = [l >= 0] d(|u|_p),  dv = -[l >= 0] d(|v|_p),  da = du + dv,  db = -du,  dc = -dv

    u = a - b + eps, v = a - c + eps, or b - c + eps where swap is asked for and that is nearer.
    """

    @staticmethod
    def forward(
        a: Tensor, b: Tensor, c: Tensor, margin: float = 1.0, p: float = 2.0, eps: float = 1e-6,
        swap: bool = False, reduction: int = 1,
    ) -> tuple[Tensor, Any]:  # fmt: skip
        pairs = ((a, b), (a, c), (b, c)) if swap else ((a, b), (a, c))
        apart = [(x - z).add_(eps) for x, z in pairs]
        norms = [torch.linalg.vector_norm(u, p, -1, keepdim=True) for u in apart]
        short = norms[0] + margin - (torch.minimum(norms[1], norms[2]) if swap else norms[1])
        saved = apart, norms, short, p, reduction, (a.shape, b.shape, c.shape)
        return reduced(short.clamp_min(0).squeeze(-1), reduction), saved

    @staticmethod
    def vjp(saved: Any, d_l: Tensor) -> tuple[Any, ...]:
        apart, norms, short, p, reduction, shapes = saved
        d = spread(d_l.unsqueeze(-1), reduction, short.numel())
        d = (short >= 0) * d
        d_ab = _norm_vjp(apart[0], norms[0], p, d)
        if len(apart) == 2:
            d_ac = _norm_vjp(apart[1], norms[1], p, -d)
            gradients = d_ab + d_ac, -d_ab, -d_ac
        else:
            near = norms[1] <= norms[2]
            d_ac, d_bc = _norm_vjp(apart[1], norms[1], p, near * -d), _norm_vjp(apart[2], norms[2], p, ~near * -d)
            gradients = d_ab + d_ac, d_bc - d_ab, -d_ac - d_bc
        return tuple(g.sum_to_size(shape) for g, shape in zip(gradients, shapes, strict=True))


def _norm_vjp(u: Tensor, y: Tensor, p: float, d: Tensor) -> Tensor:
    """``du`` of ``y = |u|_p`` along the last dimension; zero where u is."""
    if p == 1:
        return u.sign().mul_(d)
    scale = (d / (y if p == 2 else y.pow(p - 1))).masked_fill_(y == 0, 0)
    return u * scale if p == 2 else u.abs().pow_(p - 1).mul_(u.sign()).mul_(scale)


@register_map("aten.cosine_similarity.default")
class CosineSimilarity(Map):
    """y = a b / (m n), m = max(|a|, eps), n = max(|b|, eps), along one dimension   (...,D) (...,D) -> (...).
    da = (b / n - y [m > eps] a / m) dy / m,  db = (a / m - y [n > eps] b / n) dy / n
    """

    @staticmethod
    def forward(a: Tensor, b: Tensor, dim: int = 1, eps: float = 1e-8) -> tuple[Tensor, Any]:
        shapes = a.shape, b.shape
        a, b = aten.broadcast_tensors([a, b])
        m, n = (torch.linalg.vector_norm(x, 2, dim, keepdim=True).clamp_min(eps) for x in (a, b))
        y = (a * b).sum(dim, keepdim=True) / (m * n)
        return y.squeeze(dim), (a, b, m, n, y, dim, eps, shapes)

    @staticmethod
    def vjp(saved: Any, d_y: Tensor) -> tuple[Any, ...]:
        a, b, m, n, y, dim, eps, shapes = saved
        d = d_y.unsqueeze(dim)
        across, along = d / (m * n), d * y
        d_a = (b * across).addcmul_(a, (m > eps) * along / (m * m), value=-1)
        d_b = (a * across).addcmul_(b, (n > eps) * along / (n * n), value=-1)
        return d_a.sum_to_size(shapes[0]), d_b.sum_to_size(shapes[1])


@register_map("aten.cosine_embedding_loss.default")
class CosineEmbedding(Map):
    """l = sum or mean of 1 - y where t = 1, max(0, y - margin) where t = -1   (N,D) (N,D) (N) -> () or (N).
    dy = (-[t = 1] + [t = -1][y >= margin]) d,  da = (b / sqrt(aa bb) - y a / aa) dy,  db likewise

    y = a b / sqrt(aa bb), aa = sum a^2 + 1e-12.
    """

    @staticmethod
    def forward(
        a: Tensor, b: Tensor, target: Tensor, margin: float = 0.0, reduction: int = 1
    ) -> tuple[Tensor, Any]:  # fmt: skip
        aa, bb, ab = (
            (x * z).sum(-1, keepdim=True).add_(tiny) for x, z, tiny in ((a, a, 1e-12), (b, b, 1e-12), (a, b, 0))
        )
        size = (aa * bb).sqrt_()
        y, t = ab / size, target.unsqueeze(-1)
        losses = (1 - y).masked_fill_(t != 1, 0) + (y - margin).clamp_min_(0).masked_fill_(t != -1, 0)
        return reduced(losses.squeeze(-1), reduction), (a, b, t, aa, bb, size, y, margin, reduction, losses.numel())

    @staticmethod
    def vjp(saved: Any, d_l: Tensor) -> tuple[Any, ...]:
        a, b, t, aa, bb, size, y, margin, reduction, count = saved
        sign = ((t == -1) & (y >= margin)).to(y.dtype) - (t == 1).to(y.dtype)
        d = sign * spread(d_l.unsqueeze(-1), reduction, count)
        across, along = d / size, d * y
        d_a = (b * across).addcmul_(a, along / aa, value=-1)
        d_b = (a * across).addcmul_(b, along / bb, value=-1)
        return d_a.sum_to_size(a.shape), d_b.sum_to_size(b.shape), None


@register_map("aten.cdist.default", when=lambda _, attributes: attributes.get("p", 2.0) > 0)
class Distances(Map):
    """y_nm = |a_n - b_m|_p   (...,N,D) (...,M,D) -> (...,N,M).
    da_n = sum_m sign(a_n - b_m) |a_n - b_m|^(p-1) / y_nm^(p-1) dy_nm,  db_m likewise, of the other sign
    """

    @staticmethod
    def forward(
        a: Tensor, b: Tensor, p: float = 2.0, compute_mode: int | None = None
    ) -> tuple[Tensor, Any]:  # fmt: skip
        y = aten.cdist(a, b, p, compute_mode)
        # As torch does: many points have their distances from one matrix product, and their gradients from two.
        wide = compute_mode == 1 or (not compute_mode and max(a.shape[-2], b.shape[-2]) > 25)
        return y, (a, b, y, p, p == 2 and wide)

    @staticmethod
    def vjp(saved: Any, d_y: Tensor) -> tuple[Any, ...]:
        a, b, y, p, by_product = saved
        if by_product:
            d = (d_y / y).masked_fill_(y == 0, 0)
            d_a = a * d.sum(-1)[..., None] - d @ b
            d_b = b * d.sum(-2)[..., None] - d.mT @ a
        else:
            a, b = (x.expand(*y.shape[:-2], *x.shape[-2:]).contiguous() for x in (a, b))
            d_a = aten._cdist_backward(d_y.contiguous(), a, b, p, y.contiguous())
            d_b = aten._cdist_backward(d_y.mT.contiguous(), b, a, p, y.mT.contiguous())
        return d_a.sum_to_size(saved[0].shape), d_b.sum_to_size(saved[1].shape)


@register_map("aten.pdist.default", when=lambda _, attributes: attributes.get("p", 2.0) > 0)
class OwnDistances(Map):
    """y_k = |x_n - x_m|_p, k counts the pairs n < m   (N,D) -> (N(N-1)/2).
    dx_n = sum_m sign(x_n - x_m) |x_n - x_m|^(p-1) / y_k^(p-1) dy_k, k the pair of n and m
    """

    @staticmethod
    def forward(x: Tensor, p: float = 2.0) -> tuple[Tensor, Any]:
        y = aten._pdist_forward(x.contiguous(), p)
        return y, (x, y, p)

    @staticmethod
    def vjp(saved: Any, d_y: Tensor) -> tuple[Any, ...]:
        x, y, p = saved
        return (aten._pdist_backward(d_y.contiguous(), x.contiguous(), p, y),)
