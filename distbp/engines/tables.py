"""Sparse tables: parameters that torch's embeddings read row by row, and whose gradients are rows, never tables."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from distbp.program.schedule import not_sparse
from distbp.rows import Rows, summed


def sparse_tables(module: nn.Module) -> dict[str, nn.Parameter]:
    """The trainable weights of embeddings with ``sparse=True``, by name in ``module``.

    The mark is a promise that nothing else reads the table: an engine refuses a module that breaks it.
    """
    embeddings = (m for m in module.modules() if isinstance(m, nn.Embedding | nn.EmbeddingBag))
    marked = {id(m.weight) for m in embeddings if m.sparse}
    return {name: p for name, p in module.named_parameters() if p.requires_grad and id(p) in marked}


def rows_by_table(found: Iterable[tuple[str, tuple[Tensor, Tensor]]]) -> dict[str, Rows]:
    """Each table's rows. Each look-up gives row numbers (M) and gradients (M, D); all are added in their order."""
    by_table: dict[str, list[tuple[Tensor, Tensor]]] = {}
    for name, look_up in found:
        by_table.setdefault(name, []).append(look_up)
    return {name: summed(*map(torch.cat, zip(*look_ups, strict=True))) for name, look_ups in by_table.items()}


def rows_of(name: str, gradient: Tensor) -> Rows:
    """The rows of a gradient from torch's tape.

    RequestError if it is dense: then not only sparse look-ups read the table.
    """
    if not gradient.is_sparse:
        raise not_sparse(name, "another layer or op")
    return summed(gradient._indices()[0], gradient._values())
