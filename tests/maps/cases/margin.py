"""Losses that ask for a margin."""

from collections.abc import Callable
from typing import Any

import torch

from distbp.maps import margin
from tests.maps.case import Case


def signs(letters: str) -> Callable[..., Any]:
    """A draw of 1 and -1."""
    return lambda sizes, generator: (
        torch.randint(0, 2, [sizes[c] for c in letters], generator=generator).double() * 2 - 1
    )


def _labels(sizes: Any, generator: Any) -> Any:
    return torch.randint(-1, sizes["C"], [sizes["N"], sizes["C"]], generator=generator)


def _table(op: str, rule: Any, inputs: tuple[Any, ...], **attributes: Any) -> list[Case]:
    return [Case(f"aten.{op}.default", rule, inputs, {**attributes, "reduction": r}) for r in (0, 1, 2)]


CASES = [
    *(
        row
        for m in (1.0, 0.3)
        for row in _table("hinge_embedding_loss", margin.HingeEmbedding, ("NI", signs("NI")), margin=m)
    ),
    *(
        row
        for m in (0.0, 0.3)
        for row in _table("margin_ranking_loss", margin.Ranking, ("NI", "NI", signs("NI")), margin=m)
    ),
    *_table("margin_ranking_loss", margin.Ranking, ("NI", "1I", signs("NI"))),
    *_table("soft_margin_loss", margin.SoftMargin, ("NI", signs("NI"))),
    *(
        row
        for w in ("-", "w:C")
        for p in (1, 2)
        for row in _table("multi_margin_loss", margin.MultiMargin, ("NC", "t:N", w), p=p, margin=0.7)
    ),
    *_table("multilabel_margin_loss", margin.MultilabelMargin, ("NC", _labels)),
]
