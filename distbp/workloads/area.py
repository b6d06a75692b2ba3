"""The area under the curve of true against false positives (AUC): exact, over all examples at once."""

import torch
from torch import Tensor


def area(scores: Tensor, labels: Tensor) -> float:
    """How often a positive scores above a negative, a tie being half of it.   (n), (n) of 0 and 1 -> a number.

    ``(sum of the positives' ranks - P (P + 1) / 2) / (P (n - P))``, equal scores having their mean rank (Mann and
    Whitney 1947). Not a number where a score is none, or where a class is missing.
    """
    if bool(scores.isnan().any()):
        return float("nan")
    _, place, counts = torch.unique(scores, return_inverse=True, return_counts=True)
    ranks = counts.cumsum(0).double() - (counts.double() - 1) / 2
    positive = labels.double().sum()
    above = (ranks[place] * labels).sum() - positive * (positive + 1) / 2
    return float(above / (positive * (len(labels) - positive)))
