"""Dropout (Srivastava et al. 2014) and the kind that keeps mean and variance (Klambauer et al. 2017).

Every mask is drawn by torch's own recipe on a CPU, so that equal seeds give the masks of nn.Dropout.
"""

# ruff: noqa: D102 - the class's docstring holds the equations of both functions

from math import sqrt
from typing import Any

import torch
from torch import Generator, Tensor

from distbp.maps.base import Map
from distbp.maps.registry import register_map

ALPHA = 1.7580993408473766  # SELU's value far below zero, with its sign turned


def _per_feature(x: Tensor) -> Tensor:
    """Room for one number for each example and channel."""
    return torch.empty(x.shape[:2] + (1,) * (x.dim() - 2), dtype=x.dtype, device=x.device)


@register_map("aten.dropout.default")
class Dropout(Map):
    """y = m x, m = 0 with probability p, else 1 / (1 - p).
    dx = m dy
    """

    random = True

    @staticmethod
    def forward(x: Tensor, p: float, train: bool, generator: Generator) -> tuple[Tensor, Tensor]:  # noqa: ARG004
        mask = torch.empty_like(x).bernoulli_(1 - p, generator=generator).div_(1 - p)
        return x * mask, mask

    @staticmethod
    def vjp(mask: Tensor, d_y: Tensor) -> tuple[Any, ...]:
        return (d_y * mask,)


@register_map("aten.feature_dropout.default")
class FeatureDropout(Map):
    """y = m x, one m = 0 or 1 / (1 - p) for each example and channel   (N,C,...) -> (N,C,...).
    dx = m dy
    """

    random = True

    @staticmethod
    def forward(x: Tensor, p: float, train: bool, generator: Generator) -> tuple[Tensor, Tensor]:  # noqa: ARG004
        mask = _per_feature(x).bernoulli_(1 - p, generator=generator).div_(1 - p)
        return x * mask, mask

    @staticmethod
    def vjp(mask: Tensor, d_y: Tensor) -> tuple[Any, ...]:
        return (d_y * mask,)


def _alpha(x: Tensor, kept: Tensor, p: float) -> tuple[Tensor, Tensor]:
    """``a k x + a ALPHA (k + p - 1)`` and ``a k``, for k = 0 or 1."""
    a = 1 / sqrt((ALPHA * ALPHA * p + 1) * (1 - p))
    shift = kept.add(-1).mul_(ALPHA * a).add_(ALPHA * a * p)
    mask = kept.mul_(a)
    return (x * mask).add_(shift), mask


@register_map("aten.alpha_dropout.default")
class AlphaDropout(Map):
    """y = a k x + a c (k + p - 1), k = 0 with probability p, else 1; a keeps the variance, c = SELU's limit.
    dx = a k dy
    """

    random = True

    @staticmethod
    def forward(x: Tensor, p: float, train: bool, generator: Generator) -> tuple[Tensor, Tensor]:  # noqa: ARG004
        return _alpha(x, torch.empty_like(x).bernoulli_(1 - p, generator=generator), p)

    @staticmethod
    def vjp(mask: Tensor, d_y: Tensor) -> tuple[Any, ...]:
        return (d_y * mask,)


@register_map("aten.feature_alpha_dropout.default")
class FeatureAlphaDropout(Map):
    """y = a k x + a c (k + p - 1), one k for each example and channel   (N,C,...) -> (N,C,...).
    dx = a k dy
    """

    random = True

    @staticmethod
    def forward(x: Tensor, p: float, train: bool, generator: Generator) -> tuple[Tensor, Tensor]:  # noqa: ARG004
        return _alpha(x, _per_feature(x).bernoulli_(1 - p, generator=generator), p)

    @staticmethod
    def vjp(mask: Tensor, d_y: Tensor) -> tuple[Any, ...]:
        return (d_y * mask,)


class DropNothing(Map):
    """y = x.
    dx = dy
    """

    @staticmethod
    def forward(x: Tensor, p: float, train: bool) -> tuple[Tensor, None]:  # noqa: ARG004
        return x, None

    @staticmethod
    def vjp(_saved: None, d_y: Tensor) -> tuple[Any, ...]:
        return (d_y,)


class DropAll(Map):
    """y = 0 x.
    dx = 0 dy
    """

    @staticmethod
    def forward(x: Tensor, p: float, train: bool) -> tuple[Tensor, None]:  # noqa: ARG004
        return x * 0, None

    @staticmethod
    def vjp(_saved: None, d_y: Tensor) -> tuple[Any, ...]:
        return (d_y * 0,)


for _name in ("dropout", "feature_dropout", "alpha_dropout", "feature_alpha_dropout"):
    register_map(f"aten.{_name}.default", when=lambda _, given: given["p"] == 0 or not given["train"])(DropNothing)
    register_map(f"aten.{_name}.default", when=lambda _, given: given["p"] == 1 and given["train"])(DropAll)
