"""PowerSGD (Vogels et al. 2019): every matrix-shaped gradient as a product of two thin factors."""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from distbp.alignment import ALIGNMENT, round_up
from distbp.comm.base import Communicator, Name
from distbp.reduction.compression.base import Compressor
from distbp.reduction.compression.contents import Contents
from distbp.reduction.compression.parts import Parts
from distbp.reduction.exchange import Exchange

APART = ALIGNMENT // 4  # elements; a factor begins on a 64-byte boundary, as every operand


class Matrix(NamedTuple):
    """Tensor ``name``, taken for a matrix of ``rows`` by ``columns``, from ``start`` of its bucket."""

    name: str
    start: int
    rows: int
    columns: int

    def of(self, bucket: Tensor) -> Tensor:
        """It, in a bucket.   -> (rows, columns)."""
        return bucket[self.start : self.start + self.rows * self.columns].view(self.rows, self.columns)


class Row:
    """Tensors of these shapes, one after the other in one row of memory, which every worker has an equal share of."""

    def __init__(self, shapes: Sequence[tuple[int, ...]], size: int) -> None:
        self.shapes = shapes
        self.starts = [0]
        for shape in shapes:
            self.starts.append(self.starts[-1] + round_up(math.prod(shape), APART))
        self.length = round_up(self.starts[-1], APART * size)

    def views(self, row: Tensor) -> list[Tensor]:
        """Each tensor, in a row."""
        return [
            row[start : start + math.prod(shape)].view(shape)
            for start, shape in zip(self.starts, self.shapes, strict=False)
        ]


class PowerSGD(Compressor):
    """``M = sum_v M_v  ~=  P Q^T`` by one step of subspace iteration, begun at the last step's Q.

    ``P = sum_v M_v Q``, made orthonormal, and ``Q = sum_v M_v^T P``. Both are linear in the parts, so they are summed
    as gradients are, in the tree's order; part v keeps back ``M_v - P (M_v^T P)^T``. Exact where M has at most rank r.
    What is no matrix, or would not be smaller as two factors, travels as it is.

    A tensor is a matrix of its first dimension by the others. Unlike the paper's, Q is made orthonormal too: its
    columns span the same, and the squares of small gradients do not vanish.
    """

    def __init__(self, contents: Contents, comm: Communicator, *, rank: int) -> None:
        super().__init__(contents, comm)
        self._matrices: list[Matrix] = []
        self._others: list[slice] = []
        for span in contents.spans:
            start, stop = span.start - contents.start, span.stop - contents.start
            rows = span.shape[0] if span.shape else 1
            matrix = Matrix(span.name, start, rows, (stop - start) // rows)
            if rank * (matrix.rows + matrix.columns) < stop - start:
                self._matrices.append(matrix)
            else:
                self._others.append(slice(start, stop))
        others = [(span.stop - span.start,) for span in self._others]
        self._first = Row([*((m.rows, rank) for m in self._matrices), *others], comm.size)
        self._second = Row([(m.columns, rank) for m in self._matrices], comm.size)
        draws = torch.Generator().manual_seed(contents.number)
        begin = torch.zeros(self._second.length, dtype=torch.float64)
        for q in self._second.views(begin):
            q.normal_(generator=draws)
        self._q = begin.to(comm.device, contents.wide)
        self._exchange = Exchange()

    def sum(self, owed: Sequence[Tensor], total: Tensor, parts: Parts, *, count: float, name: Name) -> float:  # noqa: ARG002
        """Two sums along the tree, each of a factor of every matrix; the first takes along what is no matrix."""
        basis = [orthonormal(q) for q in self._second.views(self._q)]
        first = self._sum(self._first, [self._project(part, basis) for part in owed], parts, name)
        factors = self._first.views(first)
        basis = [orthonormal(p) for p in factors[: len(self._matrices)]]
        own = [self._keep(part, basis) for part in owed]
        self._q = self._sum(self._second, own, parts, name)
        for matrix, p, q in zip(self._matrices, basis, self._second.views(self._q), strict=True):
            matrix.of(total).copy_(p @ q.T)
        for other, value in zip(self._others, factors[len(self._matrices) :], strict=True):
            total[other].copy_(value)
        return 0.0

    def state(self, comm: Communicator, *, name: Name) -> dict[str, Tensor]:  # noqa: ARG002 - all have the same
        """Each matrix's Q, under its tensor's name."""
        return {f"q/{m.name}": q for m, q in zip(self._matrices, self._second.views(self._q), strict=True)}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Begin at a saved Q."""
        for matrix, q in zip(self._matrices, self._second.views(self._q), strict=True):
            q.copy_(state[f"q/{matrix.name}"])

    def _project(self, owed: Tensor, basis: Sequence[Tensor]) -> Tensor:
        """A part's ``M_v Q`` and what is no matrix, which it then owes no more."""
        row = owed.new_zeros(self._first.length)
        views = self._first.views(row)
        for matrix, q, view in zip(self._matrices, basis, views, strict=False):
            torch.mm(matrix.of(owed), q, out=view)
        for other, view in zip(self._others, views[len(self._matrices) :], strict=True):
            view.copy_(owed[other])
            owed[other] = 0.0
        return row

    def _keep(self, owed: Tensor, basis: Sequence[Tensor]) -> Tensor:
        """A part's ``M_v^T P``; what the two factors leave of it is owed further."""
        row = owed.new_zeros(self._second.length)
        for matrix, p, view in zip(self._matrices, basis, self._second.views(row), strict=True):
            torch.mm(matrix.of(owed).T, p, out=view)
            matrix.of(owed).addmm_(p, view.T, alpha=-1.0)
        return row

    def _sum(self, row: Row, owed: Sequence[Tensor], parts: Parts, name: Name) -> Tensor:
        total = self._q.new_empty(row.length)
        if row.length:
            sums = parts.subtree_sums(owed)
            self._exchange.sum(sums, parts.subtrees, parts.present, total, parts.comm, name=name)
        return total


def orthonormal(columns: Tensor) -> Tensor:
    """Orthonormal columns with the same span; as many, also where these depend on each other.   (m, r) -> (m, r)."""
    q: Tensor = torch.linalg.qr(columns)[0]
    return q.contiguous()
