"""The fused kernels of torch's optimizers, called without what ``Optimizer.step`` does around them.

Its hooks, the profiler's record and lists sorted by device and dtype take a small model longer than the kernel. The
kernels are operators of ATen, called as a program calls its primitives; groups and state are still the optimizer's.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.optim import SGD, Adagrad, Adam, AdamW, Optimizer

Kept = Mapping[str, Any]
Kernel = Callable[[Tensor, Tensor, Kept, Kept, Tensor], None]
"""``kernel(w, g, state, group, scale)``: w and its state after a step on g / scale."""


def fused_step(optimizer: Optimizer, scale: Tensor) -> None:
    """One step on all gradients, each divided by ``scale`` on the way: the bits of ``optimizer.step()``.

    That makes the state, in the first step, and does what has no kernel here. The parameters are plain tensors, which
    no tape follows.
    """
    kernel = KERNELS.get(type(optimizer))
    if kernel is None:
        for group in optimizer.param_groups:
            for w in group["params"]:
                if w.grad is not None:
                    w.grad.div_(scale)
        optimizer.step()
        return
    if not all(_ready(group, optimizer.state) for group in optimizer.param_groups):
        optimizer.grad_scale = scale  # type: ignore[attr-defined]
        optimizer.step()
        return
    for group in optimizer.param_groups:
        for w in group["params"]:
            if w.grad is not None:
                kernel(w, w.grad, optimizer.state[w], group, scale)


def _ready(group: Kept, state: Mapping[Tensor, Kept]) -> bool:
    """Whether the group asks for a fused kernel, and has the state that it needs (plain SGD needs none)."""
    return bool(group["fused"]) and (group.get("momentum") == 0 or all(state[w] for w in group["params"]))


def _sgd(w: Tensor, g: Tensor, state: Kept, group: Kept, scale: Tensor) -> None:
    momentum = group["momentum"]
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
        is_first_step=False,
        grad_scale=scale,
    )


def _moments(w: Tensor, g: Tensor, state: Kept, group: Kept, scale: Tensor, *, kernel: Callable[..., None]) -> None:
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


def _adagrad(w: Tensor, g: Tensor, state: Kept, group: Kept, scale: Tensor) -> None:
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
    SGD: _sgd,
    Adam: partial(_moments, kernel=torch._fused_adam_),
    AdamW: partial(_moments, kernel=torch._fused_adamw_),
    Adagrad: _adagrad,
}
