"""Products of vectors and matrices. N rows, I contracted, O columns; "..." leading dimensions, broadcast where two."""

# ruff: noqa: D102 - the class's docstring holds the equations of both functions

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from distbp.maps.base import Map
from distbp.maps.registry import register_map


def _ranks(inputs: Any) -> tuple[int, int]:
    return len(inputs[0].shape), len(inputs[1].shape)


@register_map("aten.matmul.default")
@register_map("aten.linalg_matmul.default")
class BroadcastProduct(Map):
    """y = a b   (I) or (...,N,I), (...,I,O) -> (...,O) or (...,N,O).
    da = dy b^T,  db = a^T dy, summed over what was broadcast
    """

    @staticmethod
    def forward(a: Tensor, b: Tensor) -> tuple[Tensor, Any]:
        return torch.matmul(a, b), (a, b)

    @staticmethod
    def vjp(saved: Any, d_y: Tensor) -> tuple[Any, ...]:
        a, b = saved
        left, d = (a, d_y) if a.dim() > 1 else (a[None], d_y.unsqueeze(-2))
        d_a = torch.matmul(d, b.mT).sum_to_size(left.shape).view(a.shape)
        return d_a, torch.matmul(left.mT, d).sum_to_size(b.shape)


@register_map("aten.mm.default")
@register_map("aten.matmul.default", when=lambda inputs, _: _ranks(inputs)[1] <= 2)
@register_map("aten.linalg_matmul.default", when=lambda inputs, _: _ranks(inputs)[1] <= 2)
class RowProduct(Map):
    """y = a b   (...,I) (I,O) or (I) -> (...,O) or (...).
    da = dy b^T,  db = sum a^T dy
    """

    @staticmethod
    def forward(a: Tensor, b: Tensor) -> tuple[Tensor, Any]:
        right = b if b.dim() == 2 else b[:, None]
        return _shaped(torch.mm(_rows(a), right), (*a.shape[:-1], *b.shape[1:])), (a, b)

    @staticmethod
    def vjp(saved: Any, d_y: Tensor) -> tuple[Any, ...]:
        a, b = saved
        right, d = (b, _rows(d_y)) if b.dim() == 2 else (b[:, None], d_y.reshape(-1, 1))
        return _shaped(torch.mm(d, right.t()), a.shape), _shaped(torch.mm(_rows(a).t(), d), b.shape)


@register_map("aten.mv.default")
@register_map("aten.matmul.default", when=lambda inputs, _: _ranks(inputs) == (2, 1))
class MatrixVector(Map):
    """y = A x   (N,I) (I) -> (N).
    dA = dy x^T,  dx = A^T dy
    """

    @staticmethod
    def forward(A: Tensor, x: Tensor) -> tuple[Tensor, Any]:
        return torch.mv(A, x), (A, x)

    @staticmethod
    def vjp(saved: Any, d_y: Tensor) -> tuple[Any, ...]:
        A, x = saved
        return torch.mm(d_y[:, None], x[None]), torch.mv(A.t(), d_y)


@register_map("aten.dot.default")
@register_map("aten.vdot.default", when=lambda inputs, _: not inputs[0].dtype.is_complex)
@register_map("aten.matmul.default", when=lambda inputs, _: _ranks(inputs) == (1, 1))
class Dot(Map):
    """y = sum a b   (I) (I) -> ().
    da = b dy,  db = a dy
    """

    @staticmethod
    def forward(a: Tensor, b: Tensor) -> tuple[Tensor, Any]:
        return torch.dot(a, b), (a, b)

    @staticmethod
    def vjp(saved: Any, d_y: Tensor) -> tuple[Any, ...]:
        a, b = saved
        return b * d_y, a * d_y


@register_map("aten.linalg_vecdot.default", when=lambda inputs, _: not inputs[0].dtype.is_complex)
class DotAlong(Map):
    """y = sum_i a_i b_i along one dimension   (...,I) (...,I) -> (...).
    da = b dy,  db = a dy, summed over what was broadcast
    """

    @staticmethod
    def forward(a: Tensor, b: Tensor, dim: int = -1) -> tuple[Tensor, Any]:
        return (a * b).sum(dim), (a, b, dim)

    @staticmethod
    def vjp(saved: Any, d_y: Tensor) -> tuple[Any, ...]:
        a, b, dim = saved
        d = d_y.unsqueeze(dim)
        return (b * d).sum_to_size(a.shape), (a * d).sum_to_size(b.shape)


@register_map("aten.outer.default")
@register_map("aten.ger.default")
class Outer(Map):
    """y = a b^T   (N) (O) -> (N,O).
    da = dy b,  db = dy^T a
    """

    @staticmethod
    def forward(a: Tensor, b: Tensor) -> tuple[Tensor, Any]:
        return a[:, None] * b, (a, b)

    @staticmethod
    def vjp(saved: Any, d_y: Tensor) -> tuple[Any, ...]:
        a, b = saved
        return torch.mv(d_y, b), torch.mv(d_y.t(), a)


@register_map("aten.inner.default", when=lambda inputs, _: min(_ranks(inputs)) > 0)
class Inner(Map):
    """y = a b^T   (...,I) (...,I) -> (...,...), all leading dimensions of a, then all of b.
    da = dy b,  db = dy^T a
    """

    @staticmethod
    def forward(a: Tensor, b: Tensor) -> tuple[Tensor, Any]:
        return _shaped(torch.mm(_rows(a), _rows(b).t()), (*a.shape[:-1], *b.shape[:-1])), (a, b)

    @staticmethod
    def vjp(saved: Any, d_y: Tensor) -> tuple[Any, ...]:
        a, b = saved
        left, right = _rows(a), _rows(b)
        d = d_y.reshape(left.shape[0], right.shape[0])
        return _shaped(torch.mm(d, right), a.shape), _shaped(torch.mm(d.t(), left), b.shape)


def _same_batch(inputs: Any, _attributes: Any) -> bool:
    return _ranks(inputs) == (3, 3) and inputs[0].shape[0] == inputs[1].shape[0]


@register_map("aten.bmm.default")
@register_map("aten.matmul.default", when=_same_batch)
class BatchProduct(Map):
    """y_n = a_n b_n   (N,T,I) (N,I,O) -> (N,T,O).
    da_n = dy_n b_n^T,  db_n = a_n^T dy_n
    """

    @staticmethod
    def forward(a: Tensor, b: Tensor) -> tuple[Tensor, Any]:
        return torch.bmm(a, b), (a, b)

    @staticmethod
    def vjp(saved: Any, d_y: Tensor) -> tuple[Any, ...]:
        a, b = saved
        return torch.bmm(d_y, b.mT), torch.bmm(a.mT, d_y)


@register_map("aten.linalg_cross.default")
@register_map("aten.cross.default", when=lambda _, attributes: attributes.get("dim") is not None)
class Cross(Map):
    """y = a x b along a dimension of three   (...,3) (...,3) -> (...,3).
    da = b x dy,  db = dy x a, summed over what was broadcast
    """

    @staticmethod
    def forward(a: Tensor, b: Tensor, dim: int = -1) -> tuple[Tensor, Any]:
        return torch.linalg.cross(a, b, dim=dim), (a, b, dim)

    @staticmethod
    def vjp(saved: Any, d_y: Tensor) -> tuple[Any, ...]:
        a, b, dim = saved
        d_a, d_b = torch.linalg.cross(b, d_y, dim=dim), torch.linalg.cross(d_y, a, dim=dim)
        return d_a.sum_to_size(a.shape), d_b.sum_to_size(b.shape)


@register_map("aten.cross.default", when=lambda _, attributes: attributes.get("dim") is None)
class FirstCross(Map):
    """y = a x b along the first dimension of three   (...,3,...) (...,3,...) -> (...,3,...).
    da = b x dy,  db = dy x a, summed over what was broadcast
    """

    @staticmethod
    def forward(a: Tensor, b: Tensor, dim: None = None) -> tuple[Tensor, Any]:  # noqa: ARG004
        return Cross.forward(a, b, [max(n, m) for n, m in zip(a.shape, b.shape, strict=True)].index(3))

    vjp = Cross.vjp


def _rows(x: Tensor) -> Tensor:
    return x if x.dim() == 2 else x.reshape(-1, x.shape[-1])


def _shaped(x: Tensor, shape: Sequence[int]) -> Tensor:
    return x if tuple(x.shape) == tuple(shape) else x.view(tuple(shape))
