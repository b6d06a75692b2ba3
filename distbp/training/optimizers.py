"""Optimizers on flat buffers: torch's own fused kernels, one call for each buffer.

A YAML file names one of these functions, and its arguments are the keys. ``parameters`` are flat: each holds many
tensors one after the other, and every rule here is element-wise, so that no tensor's shape matters to it. The fused
kernels divide the gradient by the count on the way.
"""

from collections.abc import Iterable

import torch
from torch import Tensor
from torch.optim import SGD, Adagrad, Adam, AdamW, Optimizer

from distbp.bounds import Fraction, NonNegative, Positive
from distbp.training.fused import fused_step


def sgd(
    parameters: Iterable[Tensor],
    *,
    lr: Positive,
    momentum: Fraction = 0.9,
    nesterov: bool = False,
    weight_decay: NonNegative = 0.0,
) -> Optimizer:
    """``v <- momentum v + g + weight_decay w;  w <- w - lr v`` (Nesterov: ``w <- w - lr (g + momentum v)``)."""
    return SGD(parameters, lr=lr, momentum=momentum, nesterov=nesterov, weight_decay=weight_decay, fused=True)


def adam(
    parameters: Iterable[Tensor],
    *,
    lr: Positive,
    beta1: Fraction = 0.9,
    beta2: Fraction = 0.999,
    eps: Positive = 1e-8,
    weight_decay: NonNegative = 0.0,
) -> Optimizer:
    """Kingma and Ba 2015: ``w <- w - lr m / (sqrt(v) + eps)``, m and v the corrected running moments of g."""
    return Adam(parameters, lr=lr, betas=(beta1, beta2), eps=eps, weight_decay=weight_decay, fused=True)


def adamw(
    parameters: Iterable[Tensor],
    *,
    lr: Positive,
    beta1: Fraction = 0.9,
    beta2: Fraction = 0.999,
    eps: Positive = 1e-8,
    weight_decay: NonNegative = 0.01,
) -> Optimizer:
    """Loshchilov and Hutter 2019: Adam, and apart from it ``w <- w - lr weight_decay w``."""
    return AdamW(parameters, lr=lr, betas=(beta1, beta2), eps=eps, weight_decay=weight_decay, fused=True)


def adagrad(
    parameters: Iterable[Tensor], *, lr: Positive, eps: Positive = 1e-10, weight_decay: NonNegative = 0.0
) -> Optimizer:
    """Duchi et al. 2011: ``s <- s + g^2;  w <- w - lr g / (sqrt(s) + eps)``."""
    return Adagrad(parameters, lr=lr, eps=eps, weight_decay=weight_decay, fused=True)


def update(optimizer: Optimizer, *, lr: float, count: float) -> None:
    """One step at rate ``lr`` on gradient sums, each divided by ``count`` inside the kernel (a count of 0 by 1)."""
    for group in optimizer.param_groups:
        group["lr"] = lr
        device = group["params"][0].device
    fused_step(optimizer, torch.tensor(float(count or 1), device=device))
