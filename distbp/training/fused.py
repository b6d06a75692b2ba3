"""The fused kernels of torch's optimizers, called without what ``Optimizer.step`` does around them.

Its hooks, the profiler's record and lists sorted by device and dtype take a small model longer than the kernel, and
its first call imports torch's compiler. The kernels are operators of ATen, called as a program calls its primitives;
groups and state are still the optimizer's, and look as its own step leaves them.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from distbp.training.uncompiled import FusedAdagrad, FusedAdam, FusedAdamW, FusedSGD

State = dict[str, Any]
Group = Mapping[str, Any]
Kernel = Callable[[Tensor, Tensor, State, Group, Tensor], None]
"""``kernel(w, g, state, group, scale)``: w and its state, which may begin here, after a step on g / scale."""


def fused_step(optimizer: Optimizer, scale: Tensor) -> None:
    """One step on all gradients, each divided by ``scale`` on the way: the bits of ``optimizer.step()``.

    The parameters are plain tensors, which no tape follows.
    """
    kernel = KERNELS.get(type(optimizer), _divided)
    for group in optimizer.param_groups:
        for w in group["params"]:
            if w.grad is not None:
                kernel(w, w.grad, optimizer.state[w], group, scale)
    if kernel is _divided:
        optimizer.step()


def _divided(_w: Tensor, g: Tensor, _state: State, _group: Group, scale: Tensor) -> None:
    """What has no kernel here steps by itself, on gradients that are divided."""
    g.div_(scale)


def _sgd(w: Tensor, g: Tensor, state: State, group: Group, scale: Tensor) -> None:
    momentum = group["momentum"]
    first = not state
    if momentum and first:
        state["momentum_buffer"] = torch.empty_like(g)
    torch._fused_sgd_(
        [w],
        [g],
        [state["momentum_buffer"]] if momentum else [],
        weight_decay=group["weight_decay"],
        momentum=momentum,
        lr=group["lr"],
        dampening=group["dampening"],
        nesterov=group["nesterov"],
        maximize=group["maximize"],
        is_first_step=first,
        grad_scale=scale,
    )


def _moments(w: Tensor, g: Tensor, state: State, group: Group, scale: Tensor, *, kernel: Callable[..., None]) -> None:
    if not state:
        state["step"] = torch.zeros((), device=w.device)
        state["exp_avg"], state["exp_avg_sq"] = torch.zeros_like(w), torch.zeros_like(w)
    state["step"].add_(1)
    beta1, beta2 = group["betas"]
    kernel(
        [w],
        [g],
        [state["exp_avg"]],
        [state["exp_avg_sq"]],
        [state["max_exp_avg_sq"]] if group["amsgrad"] else [],
        [state["step"]],
        amsgrad=group["amsgrad"],
        lr=group["lr"],
        beta1=beta1,
        beta2=beta2,
        weight_decay=group["weight_decay"],
        eps=group["eps"],
        maximize=group["maximize"],
        grad_scale=scale,
    )


def _adagrad(w: Tensor, g: Tensor, state: State, group: Group, scale: Tensor) -> None:
    state["step"].add_(1)
    torch._fused_adagrad_(
        [w],
        [g],
        [state["sum"]],
        [state["step"]],
        lr=group["lr"],
        lr_decay=group["lr_decay"],
        weight_decay=group["weight_decay"],
        eps=group["eps"],
        maximize=group["maximize"],
        grad_scale=scale,
    )


KERNELS: Mapping[type[Optimizer], Kernel] = {
    FusedSGD: _sgd,
    FusedAdam: partial(_moments, kernel=torch._fused_adam_),
    FusedAdamW: partial(_moments, kernel=torch._fused_adamw_),
    FusedAdagrad: _adagrad,
}
