"""How high the right item is ranked among its candidates: HR@10 and NDCG@10 (He et al. 2017).

N users, C candidates each; the right one is the first.
"""

import torch
from torch import Tensor

K = 10  # places that count


def places(scores: Tensor) -> Tensor:
    """The place of each first candidate among all of its row, from 1.   (N, C) -> (N) int64.

    What scores the same stands before it, and so does what is no number: a model that cannot tell does not win.
    """
    return scores.shape[1] - (scores < scores[:, :1]).sum(dim=1)


def hits_and_gains(output: Tensor, target: Tensor) -> dict[str, Tensor]:  # noqa: ARG001 - the first is right
    """How many of the first candidates are among the ten best, and ``1 / log2(1 + place)`` of those.   (N, C) -> ()."""
    place = places(output)
    hit = place <= K
    gain = hit / torch.log2(1.0 + place)
    return {"hr@10": hit.sum(), "ndcg@10": gain.sum()}
