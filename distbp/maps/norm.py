"""Normalisation within an example: m and s are the mean and the standard deviation over a group, s^2 = var + eps.

N examples, C channels, P positions, I features; z is x normalised, g = w dy.
"""

# ruff: noqa: D102, PLR0917 - the class's docstring holds the equations of both functions; the arguments are the op's

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, memory_format

from distbp.maps.base import Map
from distbp.maps.registry import register_map

aten = torch.ops.aten


def _no_running_statistics(inputs: Any, attributes: Any) -> bool:
    return attributes["use_input_stats"] and all(x is None for x in inputs[3:])


@register_map("aten.layer_norm.default")
class LayerNorm(Map):
    """y = w z + b, z = (x - m) / s   (...,I) (I) (I) -> (...,I).
    dx = (g - mean g - z mean(g z)) / s,  dw = sum z dy,  db = sum dy
    """

    @staticmethod
    def forward(
        x: Tensor, weight: Tensor | None = None, bias: Tensor | None = None, *,
        normalized_shape: Sequence[int], eps: float = 1e-5, cudnn_enable: bool = True,  # noqa: ARG004
    ) -> tuple[Tensor, Any]:  # fmt: skip
        y, m, r = aten.native_layer_norm(x, normalized_shape, weight, bias, eps)
        return y, (x, normalized_shape, m, r, weight, bias)

    @staticmethod
    def vjp(saved: Any, d_y: Tensor) -> tuple[Any, ...]:
        *_, weight, bias = saved
        mask = [True, weight is not None, bias is not None]  # one call: its single pass over x and dy makes all three
        return present(aten.native_layer_norm_backward(d_y, *saved, mask), mask)


@register_map("aten.group_norm.default")
class GroupNorm(Map):
    """y = w z + b, z = (x - m) / s over a group's channels and positions   (N,C,P) (C) (C) -> (N,C,P).
    dx = (g - mean g - z mean(g z)) / s,  dw = sum z dy,  db = sum dy
    """

    @staticmethod
    def forward(
        x: Tensor, weight: Tensor | None = None, bias: Tensor | None = None, *,
        num_groups: int, eps: float = 1e-5, cudnn_enabled: bool = True,  # noqa: ARG004
    ) -> tuple[Tensor, Any]:  # fmt: skip
        # the kernels take x and dy in one layout; on CUDA the plain one only
        x = x.contiguous() if x.is_cuda else x.contiguous(memory_format=layout(x))
        told = (*x.shape[:2], x.shape[2:].numel(), num_groups)
        y, m, r = aten.native_group_norm(x, weight, bias, *told, eps)
        return y, (x, m, r, weight, bias is None, told)

    @staticmethod
    def vjp(saved: Any, d_y: Tensor) -> tuple[Any, ...]:
        x, m, r, weight, plain, told = saved
        d_y = d_y.contiguous(memory_format=layout(x))
        mask = [True, weight is not None, weight is not None and not plain]
        d_x, d_w, d_b = present(aten.native_group_norm_backward(d_y, x, m, r, weight, *told, mask), mask)
        if weight is None and not plain:  # which the kernel cannot
            d_b = d_y.sum([axis for axis in range(d_y.dim()) if axis != 1])
        return d_x, d_w, d_b


@register_map("aten.instance_norm.default", when=_no_running_statistics)
class InstanceNorm(Map):
    """y = w z + b, z = (x - m) / s over a channel's positions   (N,C,P) (C) (C) -> (N,C,P).
    dx = (g - mean g - z mean(g z)) / s,  dw = sum z dy,  db = sum dy
    """

    @staticmethod
    def forward(
        x: Tensor, weight: Tensor | None, bias: Tensor | None, _mean: None, _var: None,
        use_input_stats: bool, momentum: float, eps: float, cudnn_enabled: bool,  # noqa: ARG004
    ) -> tuple[Tensor, Any]:  # fmt: skip
        return GroupNorm.forward(x.contiguous(), weight, bias, num_groups=x.shape[1], eps=eps)

    @staticmethod
    def vjp(saved: Any, d_y: Tensor) -> tuple[Any, ...]:
        return (*GroupNorm.vjp(saved, d_y), None, None)


@register_map("aten.rms_norm.default")
class RmsNorm(Map):
    """y = r w x, r = (mean x^2 + eps)^(-1/2) over the last dimensions I   (...,I) (I) -> (...,I).
    dx = r g - r^3 x mean(g x),  dw = sum r x dy
    """

    @staticmethod
    def forward(
        x: Tensor, weight: Tensor | None = None, *, normalized_shape: Sequence[int], eps: float | None = None
    ) -> tuple[Tensor, Any]:
        features = torch.Size(normalized_shape).numel()
        rows = wide(x).reshape(-1, features)
        square = torch.linalg.vector_norm(rows, dim=1, keepdim=True).square() / features
        r = (square + (torch.finfo(rows.dtype).eps if eps is None else eps)).rsqrt()
        y = rows * r if weight is None else rows * r * weight.reshape(-1)
        return y.view(x.shape), (rows, r, weight, x.shape)

    @staticmethod
    def vjp(saved: Any, d_y: Tensor) -> tuple[Any, ...]:
        x, r, weight, shape = saved
        d_y = wide(d_y).reshape(x.shape)
        product = d_y * x
        if weight is None:
            d_x, inner, d_w = d_y * r, product.sum(1, keepdim=True), None
        else:
            w = weight.reshape(-1)
            d_x, inner = (d_y * w).mul_(r), torch.mv(product, w).unsqueeze(1)
            d_w = torch.mv(product.t(), r.view(-1)).view(weight.shape)
        d_x.addcmul_(x, r.pow(3).mul_(inner), value=-1 / x.shape[1])
        return d_x.view(shape), d_w


def wide(x: Tensor) -> Tensor:
    """``x`` for sums over many of its numbers: in float32, where it has fewer bits."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def layout(x: Tensor) -> memory_format:
    """Channels last where x lies so, else the plain layout."""
    last = {4: torch.channels_last, 5: torch.channels_last_3d}.get(x.dim(), torch.contiguous_format)
    return last if not x.is_contiguous() and x.is_contiguous(memory_format=last) else torch.contiguous_format


def present(gradients: Sequence[Tensor], mask: Sequence[bool]) -> tuple[Any, ...]:
    """The gradients that were made."""
    return tuple(d if made else None for d, made in zip(gradients, mask, strict=True))
