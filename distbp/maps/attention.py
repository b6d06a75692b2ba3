"""Attention (Vaswani et al. 2017): every query weighs the values by how its keys suit it.

L queries, S keys and values, E features of both, F of a value; "..." leading dimensions, the last of them heads.
"""

# ruff: noqa: D102 - the class's docstring holds the equations of both functions

from collections.abc import Mapping, Sequence
from math import inf, sqrt
from typing import Any, NamedTuple

import torch
from torch import Generator, Tensor

from distbp.maps.base import Map
from distbp.maps.registry import register_map

OP = "aten.scaled_dot_product_attention.default"


@register_map(OP)
class Attention(Map):
    """y = P v,  P = softmax_S(s q k^T + m)   (...,L,E) (...,S,E) (...,S,F) (...,L,S) -> (...,L,F).
    dv = P^T dy,  dP = dy v^T,  dz = P (dP - sum_S P dP),  dq = s dz k,  dk = s dz^T q,  dm = dz
    """

    @staticmethod
    def forward(
        q: Tensor,
        k: Tensor,
        v: Tensor,
        mask: Tensor | None = None,
        *,
        dropout_p: float = 0.0,  # noqa: ARG004
        is_causal: bool = False,
        scale: float | None = None,
        enable_gqa: bool = False,  # noqa: ARG004 - the numbers of heads say it
    ) -> tuple[Tensor, Any]:
        weights, saved = _weights(q, k, mask, is_causal, scale)
        return weights @ _repeated(v, q), (*saved, v, None)

    @staticmethod
    def vjp(saved: Any, d_y: Tensor) -> tuple[Any, ...]:
        weights, s, q, k, mask, v, dropped = saved
        all_k, all_v = _repeated(k, q), _repeated(v, q)
        d_weights = d_y @ all_v.transpose(-2, -1)
        if dropped is not None:
            d_weights.mul_(dropped)
        d_z = torch.ops.aten._softmax_backward_data(d_weights, weights, -1, weights.dtype)
        passed = weights if dropped is None else weights * dropped
        d_q = (d_z @ all_k).mul_(s)
        d_k = (d_z.transpose(-2, -1) @ q).mul_(s)
        d_v = passed.transpose(-2, -1) @ d_y
        return d_q.sum_to_size(q.shape), _summed(d_k, k), _summed(d_v, v), _of_mask(d_z, mask)


@register_map(OP, when=lambda _, attributes: attributes["dropout_p"] > 0)
class DroppedAttention(Map):
    """y = (D P) v, D = 0 with probability p, else 1 / (1 - p)   (...,L,E) (...,S,E) (...,S,F) (...,L,S) -> (...,L,F).
    dv = (D P)^T dy,  dP = D (dy v^T), else as Attention
    """

    random = True

    @staticmethod
    def forward(
        q: Tensor,
        k: Tensor,
        v: Tensor,
        mask: Tensor | None = None,
        *,
        generator: Generator,
        dropout_p: float,
        is_causal: bool = False,
        scale: float | None = None,
        enable_gqa: bool = False,  # noqa: ARG004
    ) -> tuple[Tensor, Any]:
        weights, saved = _weights(q, k, mask, is_causal, scale)
        dropped = torch.empty_like(weights)
        if dropout_p < 1:
            dropped.bernoulli_(1 - dropout_p, generator=generator).div_(1 - dropout_p)
        else:
            dropped.zero_()  # torch draws nothing here
        return (weights * dropped) @ _repeated(v, q), (*saved, v, dropped)

    vjp = staticmethod(Attention.vjp)


def _tiled(inputs: Sequence[Any], attributes: Mapping[str, Any]) -> bool:
    """Whether torch's kernel that never forms P takes the call."""
    q, k, v, *rest = (() if x is None else tuple(x.shape) for x in inputs)
    if attributes["dropout_p"] > 0 or len(q) not in {3, 4} or 0 in (*q, *k):
        return False
    heads = len(q) == 3 or q[1] == k[1] or (attributes["enable_gqa"] and q[1] % k[1] == 0)
    mask = rest[0] if rest else ()
    fits = len(mask) in {0, 2, len(q)} and all(
        m in {1, n} for m, n in zip(mask[::-1], (k[-2], *q[-2::-1]), strict=False)
    )
    return heads and fits and k[0] == q[0] and k[-1] == q[-1] and k == v


class Tiles(NamedTuple):
    """What the VJP by tiles reads: the operands with four dimensions, and l."""

    q: Tensor
    k: Tensor
    v: Tensor
    mask: Tensor | None
    bias: Tensor | None
    y: Tensor
    log_sum: Tensor
    is_causal: bool
    scale: float


@register_map(OP, when=_tiled)
class TiledAttention(Map):
    """y = P v,  P = softmax_S(s q k^T + m), by tiles   (N,...,L,E) (N,...,S,E) (N,...,S,E) (...,L,S) -> (N,...,L,E).
    dv = P^T dy with P = exp(s q k^T + m - l) formed anew, l = log sum_S exp(s q k^T + m), else as Attention
    """

    @staticmethod
    def forward(
        q: Tensor,
        k: Tensor,
        v: Tensor,
        mask: Tensor | None = None,
        *,
        dropout_p: float = 0.0,  # noqa: ARG004
        is_causal: bool = False,
        scale: float | None = None,
        enable_gqa: bool = False,  # noqa: ARG004
    ) -> tuple[Tensor, Any]:
        taped = torch.is_grad_enabled() and mask is not None and mask.requires_grad  # which torch refuses by tiles
        if taped or q.is_cuda:  # where such kernels have backward passes whose bits vary from run to run
            return Attention.forward(q, k, v, mask, is_causal=is_causal, scale=scale)
        headless = q.dim() == 3
        bias = None if mask is None else _bias(mask, q)
        if headless:
            q, k, v = q.unsqueeze(1), k.unsqueeze(1), v.unsqueeze(1)
            bias = bias.unsqueeze(1) if bias is not None and bias.dim() == 3 else bias
        s = _scale(q, scale)
        y, log_sum = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(
            *_operands(q, k, v), 0.0, is_causal, attn_mask=bias, scale=s
        )
        return y.squeeze(1) if headless else y, Tiles(q, k, v, mask, bias, y, log_sum, is_causal, s)

    @staticmethod
    def vjp(saved: Any, d_y: Tensor) -> tuple[Any, ...]:
        if not isinstance(saved, Tiles):
            return Attention.vjp(saved, d_y)
        q, k, v, mask, bias, y, log_sum, is_causal, s = saved
        headless = d_y.dim() == 3
        d_y = _rows(d_y.unsqueeze(1) if headless else d_y)
        operands = _operands(q, k, v)
        d_q, d_k, d_v = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward(
            d_y, *operands, y, log_sum, 0.0, is_causal, attn_mask=bias, scale=s
        )
        gradients = d_q, _summed(d_k, k), _summed(d_v, v)
        d_mask = None
        if mask is not None and bias is not None and mask.is_floating_point():
            d_mask = _through_scores(d_y, operands, saved, bias).sum_to_size(bias.shape).view(mask.shape)
        return (*(d.squeeze(1) if headless else d for d in gradients), d_mask)


def _weights(
    q: Tensor, k: Tensor, mask: Tensor | None, is_causal: bool, scale: float | None
) -> tuple[Tensor, tuple[Any, ...]]:
    """P, and what its VJP reads besides v."""
    s = _scale(q, scale)
    scores = (q * s) @ _repeated(k, q).transpose(-2, -1)
    if is_causal:
        future = torch.full(scores.shape[-2:], -inf, dtype=q.dtype, device=q.device).triu_(1)
        scores.add_(future)
    if mask is not None:
        scores.add_(_bias(mask, q))
    # a query that may see no key attends to nothing
    weights = scores.softmax(-1) if mask is None else torch.ops.aten._safe_softmax(scores, -1)
    return weights, (weights, s, q, k, mask)


def _through_scores(d_y: Tensor, operands: Sequence[Tensor], tiles: Tiles, bias: Tensor) -> Tensor:
    """The gradient of ``s q k^T + m``, which the kernel does not give."""
    q, k, v = operands
    scores = (q @ k.transpose(-2, -1)).mul_(tiles.scale).add_(bias)
    weights = scores.sub_(tiles.log_sum.unsqueeze(-1)).exp_()
    mean = (d_y * tiles.y).sum(-1, keepdim=True)
    return (d_y @ v.transpose(-2, -1)).sub_(mean).mul_(weights)


def _of_mask(d_z: Tensor, mask: Tensor | None) -> Tensor | None:
    return d_z.sum_to_size(mask.shape) if mask is not None and mask.is_floating_point() else None


def _bias(mask: Tensor, q: Tensor) -> Tensor:
    """What is added to the scores: the mask itself, or 0 where it is True and -inf where it is False."""
    if mask.is_floating_point():
        return mask
    return torch.zeros(mask.shape, dtype=q.dtype, device=q.device).masked_fill_(mask.logical_not(), -inf)


def _scale(q: Tensor, scale: float | None) -> float:
    return 1 / sqrt(q.shape[-1]) if scale is None else scale


def _repeated(x: Tensor, q: Tensor) -> Tensor:
    """Keys or values with the heads of q, each given to as many queries' heads as share it."""
    if x.dim() < 3 or q.dim() < 3 or q.shape[-3] <= x.shape[-3]:
        return x
    group = q.shape[-3] // x.shape[-3]
    return x.unsqueeze(-3).expand(*x.shape[:-2], group, *x.shape[-2:]).flatten(-4, -3)


def _summed(d: Tensor, x: Tensor) -> Tensor:
    """The gradient of x, given that of ``_repeated(x)``."""
    if x.dim() > 2 and d.shape[-3] > x.shape[-3]:
        d = d.view(*d.shape[:-3], x.shape[-3], -1, *d.shape[-2:]).sum(-3)
    return d.sum_to_size(x.shape)


def _operands(q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    return _rows(q), _rows(_repeated(k, q)), _rows(_repeated(v, q))


def _rows(x: Tensor) -> Tensor:
    """x, whose rows are contiguous as the kernel wants them."""
    return x if x.stride(-1) == 1 else x.contiguous()
