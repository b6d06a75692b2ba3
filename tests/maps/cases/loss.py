"""Losses of elements and their targets."""

from collections.abc import Callable
from typing import Any

import torch

from distbp.maps import loss
from tests.maps.case import Case

REDUCTIONS = (0, 1, 2)


def _counts(letters: str) -> Callable[..., Any]:
    return lambda sizes, generator: (
        torch.randint(0, 5, [sizes[c] for c in letters], generator=generator).double() + 0.25
    )


def _inside(letters: str) -> Callable[..., Any]:
    """Probabilities that a step of the differences leaves between 0 and 1."""
    return lambda sizes, generator: torch.rand([sizes[c] for c in letters], generator=generator).double() * 0.9 + 0.05


def _table(op: str, rule: Any, inputs: tuple[Any, ...], **attributes: Any) -> list[Case]:
    return [Case(f"aten.{op}.default", rule, inputs, {**attributes, "reduction": r}) for r in REDUCTIONS]


CASES = [
    *_table("mse_loss", loss.SquaredError, ("NTI", "NTI")),
    *_table("l1_loss", loss.AbsoluteError, ("NI", "NI")),
    *_table("l1_loss", loss.AbsoluteError, ("NI", "I")),
    *(
        row
        for beta in (1.0, 0.3)
        for row in _table("smooth_l1_loss", loss.SmoothAbsoluteError, ("NI", "NI"), beta=beta)
    ),
    *(row for delta in (1.0, 0.3) for row in _table("huber_loss", loss.Huber, ("NI", "NI"), delta=delta)),
    *(
        row
        for w in ("-", "w:NI", "w:I")
        for row in _table("binary_cross_entropy", loss.BinaryCrossEntropy, (_inside("NI"), _inside("NI"), w))
    ),
    *(
        row
        for w in ("-", "w:NI")
        for q in ("-", "w:I")
        for row in _table("binary_cross_entropy_with_logits", loss.LogitCrossEntropy, ("NI", "p:NI", w, q))
    ),
    *_table("kl_div", loss.Divergence, ("NI", "p:NI")),
    *_table("kl_div", loss.Divergence, ("NTI", "p:TI")),
    *_table("kl_div", loss.LogDivergence, ("NI", "NI"), log_target=True),
    *(
        row
        for log_input in (True, False)
        for full in (True, False)
        for row in _table(
            "poisson_nll_loss", loss.Poisson, ("w:NI", _counts("NI")), log_input=log_input, full=full, eps=1e-8
        )
    ),
]
