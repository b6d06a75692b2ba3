"""Negative log-likelihoods of classes."""

from collections.abc import Iterator
from typing import Any

import torch

from distbp.maps import cross_entropy
from tests.maps.case import Case

OP = "aten.cross_entropy_loss.default"
LABELS = (("NC", "t:N"), ("NCT", "t:NT"), ("NCTI", "t:NTI"), ("C", "t:()"))


def _classes_last(sizes: Any, generator: Any) -> Any:
    shape = [sizes[c] for c in "NTC"]
    return torch.randn(shape, generator=generator, dtype=torch.float64).mT


def _labelled(weight: str, told: dict[str, Any]) -> Iterator[Case]:
    for x, target in (*LABELS, (_classes_last, "t:NT")):
        # A mean over targets that are all ignored is 0 / 0, in torch as here.
        for ignored in ({}, {"ignore_index": -1 if target == "t:()" or told["reduction"] == 1 else 1}):
            inputs, some = (x, target, weight), {**told, **ignored}
            for name in ("nll_loss_nd", "nll_loss") if x in {"NC", "C"} else ("nll_loss_nd",):
                yield Case(f"aten.{name}.default", cross_entropy.LogLikelihood, inputs, some)
            yield Case(OP, cross_entropy.CrossEntropy, inputs, some)
            yield Case(OP, cross_entropy.SmoothCrossEntropy, inputs, {**some, "label_smoothing": 0.1})
    yield Case("aten.nll_loss2d.default", cross_entropy.LogLikelihood, ("NCTI", "t:NTI", weight), told)


def _table() -> Iterator[Case]:
    for weight in ("-", "w:C"):
        for reduction in (0, 1, 2):
            yield from _labelled(weight, {"reduction": reduction})
            for dims in ("NC", "NCT", "C"):
                for e in (0.0, 0.1):
                    told = {"reduction": reduction, "label_smoothing": e}
                    yield Case(OP, cross_entropy.SoftCrossEntropy, (dims, f"p:{dims}", weight), told)
            for x, target in (("NI", "t:N"), ("NTI", "t:NT"), ("I", "t:()")) if reduction else ():
                for b in ("C", "-"):
                    inputs, told = (x, "CI", b, target, weight), {"reduction": reduction}
                    yield Case("distbp.linear_cross_entropy.default", cross_entropy.LinearCrossEntropy, inputs, told)


def _some_ignored(sizes: Any, generator: Any) -> Any:
    """Class numbers, of which the first counts and the others may be the ignored -100."""
    labels = torch.randint(-1, sizes["C"], [sizes["N"]], generator=generator)
    labels = torch.where(labels < 0, -100, labels)
    labels[0] = 0
    return labels


def _ignoring() -> Iterator[Case]:
    for weight in ("-", "w:C"):
        for reduction in (1, 2):
            told = {"reduction": reduction}
            inputs = ("NC", _some_ignored, weight)
            yield Case("aten.nll_loss_nd.default", cross_entropy.LogLikelihood, inputs, told)
            yield Case(OP, cross_entropy.CrossEntropy, inputs, told)
            yield Case(OP, cross_entropy.SmoothCrossEntropy, inputs, {**told, "label_smoothing": 0.1})
            fused = ("NI", "CI", "C", *inputs[1:])
            yield Case("distbp.linear_cross_entropy.default", cross_entropy.LinearCrossEntropy, fused, told)


CASES = [*_table(), *_ignoring()]
