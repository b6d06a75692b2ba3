"""An embedding table as an ordinary nn.Embedding, with initial rows that depend on a generator alone."""

import torch
from torch import nn

from distbp.workloads.undrawn import undrawn


def table(rows: int, width: int, *, deviation: float, generator: torch.Generator, sparse: bool) -> nn.Embedding:
    """``W ~ N(0, deviation^2)``, (rows, width).

    A ``sparse`` table is updated in the rows that are looked up: no step costs more for a higher one.
    """
    embedding = undrawn(nn.Embedding(rows, width, sparse=sparse, device="meta"))
    with torch.no_grad():
        embedding.weight.normal_(0.0, deviation, generator=generator)
    return embedding
