"""Top-k: of each part the elements that are largest in magnitude, exactly, and nothing of the others."""

from collections.abc import Sequence

import torch
from torch import Tensor

from distbp.comm.base import Communicator, Name
from distbp.reduction.compression.base import Compressor
from distbp.reduction.compression.contents import Contents
from distbp.reduction.compression.parts import Parts


class TopK(Compressor):
    """A part sends ``k = fraction n`` (at least one) places and values, and every worker adds up all of them."""

    def __init__(self, contents: Contents, comm: Communicator, *, fraction: float) -> None:
        super().__init__(contents, comm)
        self.k = max(round(fraction * contents.length), 1)
        self._places = torch.int32 if contents.length <= torch.iinfo(torch.int32).max else torch.int64

    def sum(self, owed: Sequence[Tensor], total: Tensor, parts: Parts, *, count: float, name: Name) -> float:  # noqa: ARG002
        """Two ``all_gather``, and the fold of the parts."""
        most = max(map(len, parts.held))
        places = torch.zeros(most, self.k, dtype=self._places, device=total.device)
        values = torch.zeros(most, self.k, dtype=self.contents.wide, device=total.device)
        for k, part in enumerate(owed):
            chosen = part[: self.contents.length].abs().topk(self.k, sorted=False).indices
            places[k], values[k] = chosen, part[chosen]
            part[chosen] = 0.0
        everyones = [self._gathered(mine, parts, name) for mine in (places, values)]
        total.copy_(parts.fold([self._dense(*pair) for pair in zip(*everyones, strict=True)]))
        return 0.0

    def _gathered(self, mine: Tensor, parts: Parts, name: Name) -> Tensor:
        """Every part's row.   (most, k) -> (P, k)."""
        whole = mine.new_empty(parts.comm.size * mine.shape[0], self.k)
        parts.comm.all_gather(whole, mine, name=name).wait()
        return parts.rows(whole)

    def _dense(self, places: Tensor, values: Tensor) -> Tensor:
        """(k), (k) -> (n)."""
        return values.new_zeros(self.contents.length).scatter_(0, places.long(), values)
