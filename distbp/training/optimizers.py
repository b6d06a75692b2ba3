"""Optimizers on flat buffers: torch's own kernels, fused where it has them, one call for each buffer.

A YAML file names one of these functions, and its arguments are the keys. ``parameters`` are flat: each holds many
tensors one after the other, and every rule here is element-wise, so that no tensor's shape matters to it. The fused
kernels divide the gradient by the count on the way.
"""

from collections.abc import Iterable
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer, RMSprop

from distbp.bounds import Fraction, NonNegative, Positive
from distbp.training.fused import fused_step
from distbp.training.uncompiled import FusedAdagrad, FusedAdam, FusedAdamW, FusedSGD

Parameters = Iterable[Tensor] | Iterable[dict[str, Any]]
"""Flat tensors, or groups of them (``params``), each with a ``rate``: a factor of the learning rate."""


def sgd(
    parameters: Parameters,
    *,
    lr: Positive,
    momentum: Fraction = 0.9,
    nesterov: bool = False,
    weight_decay: NonNegative = 0.0,
) -> Optimizer:
    """``v <- momentum v + g + weight_decay w;  w <- w - lr v`` (Nesterov: ``w <- w - lr (g + momentum v)``)."""
    return FusedSGD(parameters, lr=lr, momentum=momentum, nesterov=nesterov, weight_decay=weight_decay, fused=True)


def adam(
    parameters: Parameters,
    *,
    lr: Positive,
    beta1: Fraction = 0.9,
    beta2: Fraction = 0.999,
    eps: Positive = 1e-8,
    weight_decay: NonNegative = 0.0,
) -> Optimizer:
    """Kingma and Ba 2015: ``w <- w - lr m / (sqrt(v) + eps)``, m and v the corrected running moments of g."""
    return FusedAdam(parameters, lr=lr, betas=(beta1, beta2), eps=eps, weight_decay=weight_decay, fused=True)


def adamw(
    parameters: Parameters,
    *,
    lr: Positive,
    beta1: Fraction = 0.9,
    beta2: Fraction = 0.999,
    eps: Positive = 1e-8,
    weight_decay: NonNegative = 0.01,
) -> Optimizer:
    """Loshchilov and Hutter 2019: Adam, and apart from it ``w <- w - lr weight_decay w``."""
    return FusedAdamW(parameters, lr=lr, betas=(beta1, beta2), eps=eps, weight_decay=weight_decay, fused=True)


def adagrad(
    parameters: Parameters, *, lr: Positive, eps: Positive = 1e-10, weight_decay: NonNegative = 0.0
) -> Optimizer:
    """Duchi et al. 2011: ``s <- s + g^2;  w <- w - lr g / (sqrt(s) + eps)``."""
    return FusedAdagrad(parameters, lr=lr, eps=eps, weight_decay=weight_decay, fused=True)


def rmsprop(
    parameters: Parameters,
    *,
    lr: Positive,
    alpha: Fraction = 0.99,
    momentum: Fraction = 0.0,
    eps: Positive = 1e-8,
    weight_decay: NonNegative = 0.0,
) -> Optimizer:
    """Tieleman and Hinton 2012: ``s <- alpha s + (1 - alpha) g^2;  w <- w - lr g / (sqrt(s) + eps)``."""
    return RMSprop(parameters, lr=lr, alpha=alpha, momentum=momentum, eps=eps, weight_decay=weight_decay)


def update(optimizer: Optimizer, *, lr: float, count: float) -> None:
    """One step at rate ``lr`` on gradient sums, each divided by ``count`` inside the kernel (a count of 0 by 1)."""
    for group in optimizer.param_groups:
        group["lr"] = lr * group.get("rate", 1.0)
        device = group["params"][0].device
    fused_step(optimizer, _scalar(float(count or 1), device))


@lru_cache(maxsize=8)
def _scalar(value: float, device: torch.device) -> Tensor:
    """A number that kernels read. The count of a step is mostly that of the one before."""
    return torch.tensor(value, device=device)
