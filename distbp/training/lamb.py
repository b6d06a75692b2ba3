"""LAMB: Adam whose step of each parameter is as long as a share of the parameter, for large batches."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from distbp.bounds import Fraction, NonNegative, Positive
from distbp.training.norm import block_norms, together
from distbp.training.optimizers import Parameters
from distbp.training.shaped import Shaped


class Lamb(Shaped):
    """You et al. 2019, algorithm 2: ``w <- w - lr (|w| / |u|) u``, ``u = m / (sqrt(v) + eps) + weight_decay w``.

    m and v are the corrected running moments of g, as Adam's; the ratio is 1 where a norm is 0. Norms are those of a
    whole parameter, taken over fixed blocks.
    """

    def __init__(
        self,
        parameters: Parameters,
        *,
        lr: Positive,
        beta1: Fraction = 0.9,
        beta2: Fraction = 0.999,
        eps: Positive = 1e-6,
        weight_decay: NonNegative = 0.01,
    ) -> None:
        how = {"lr": lr, "beta1": beta1, "beta2": beta2, "eps": eps, "weight_decay": weight_decay}
        super().__init__(parameters, how)

    def shapes(self, parameter: Tensor) -> dict[str, torch.Size]:
        """The number of steps, and the two moments."""
        return {"step": torch.Size(), "exp_avg": parameter.shape, "exp_avg_sq": parameter.shape}

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """One step on all gradients."""
        assert closure is None, "the gradients are there"
        for group in self.param_groups:
            for w in group["params"]:
                if w.grad is not None:
                    self._move(w, w.grad, self.state[w], group)

    def _move(self, w: Tensor, g: Tensor, state: dict[str, Any], group: dict[str, Any]) -> None:
        if not state:
            state |= {"step": torch.tensor(0.0), "exp_avg": torch.zeros_like(w), "exp_avg_sq": torch.zeros_like(w)}
        m, v, beta1, beta2 = state["exp_avg"], state["exp_avg_sq"], group["beta1"], group["beta2"]
        t = state["step"].add_(1).item()
        m.lerp_(g, 1 - beta1)
        v.mul_(beta2).addcmul_(g, g, value=1 - beta2)
        u = (v / (1 - beta2**t)).sqrt_().add_(group["eps"]).reciprocal_().mul_(m).div_(1 - beta1**t)
        u.add_(w, alpha=group["weight_decay"])
        long, moved = together(block_norms(w)), together(block_norms(u))
        w.add_(u, alpha=-group["lr"] * (long / moved if long and moved else 1.0))
