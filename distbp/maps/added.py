"""A product added to a matrix, which may be broadcast. N rows, I contracted, O columns, B products."""

# ruff: noqa: D102 - the class's docstring holds the equations of both functions

from typing import Any

import torch
from torch import Tensor

from distbp.maps.base import Map
from distbp.maps.registry import register_map


@register_map("aten.addmm.default")
class AddedProduct(Map):
    """y = beta c + alpha a b   (N,O) (N,I) (I,O) -> (N,O).
    dc = beta dy,  da = alpha dy b^T,  db = alpha a^T dy
    """

    @staticmethod
    def forward(c: Tensor, a: Tensor, b: Tensor, beta: float = 1, alpha: float = 1) -> tuple[Tensor, Any]:
        return torch.addmm(c, a, b, beta=beta, alpha=alpha), (c.shape, a, b, beta, alpha)

    @staticmethod
    def vjp(saved: Any, d_y: Tensor) -> tuple[Any, ...]:
        shape, a, b, beta, alpha = saved
        d_a, d_b = torch.mm(d_y, b.t()), torch.mm(a.t(), d_y)
        return _times(d_y.sum_to_size(shape), beta), _times(d_a, alpha), _times(d_b, alpha)


@register_map("aten.addmv.default")
class AddedVector(Map):
    """y = beta c + alpha A x   (N) (N,I) (I) -> (N).
    dc = beta dy,  dA = alpha dy x^T,  dx = alpha A^T dy
    """

    @staticmethod
    def forward(c: Tensor, A: Tensor, x: Tensor, beta: float = 1, alpha: float = 1) -> tuple[Tensor, Any]:
        return torch.addmv(c, A, x, beta=beta, alpha=alpha), (c.shape, A, x, beta, alpha)

    @staticmethod
    def vjp(saved: Any, d_y: Tensor) -> tuple[Any, ...]:
        shape, A, x, beta, alpha = saved
        d_A, d_x = torch.mm(d_y[:, None], x[None]), torch.mv(A.t(), d_y)
        return _times(d_y.sum_to_size(shape), beta), _times(d_A, alpha), _times(d_x, alpha)


@register_map("aten.addr.default")
class AddedOuter(Map):
    """y = beta c + alpha a b^T   (N,O) (N) (O) -> (N,O).
    dc = beta dy,  da = alpha dy b,  db = alpha dy^T a
    """

    @staticmethod
    def forward(c: Tensor, a: Tensor, b: Tensor, beta: float = 1, alpha: float = 1) -> tuple[Tensor, Any]:
        return torch.addr(c, a, b, beta=beta, alpha=alpha), (c.shape, a, b, beta, alpha)

    @staticmethod
    def vjp(saved: Any, d_y: Tensor) -> tuple[Any, ...]:
        shape, a, b, beta, alpha = saved
        d_a, d_b = torch.mv(d_y, b), torch.mv(d_y.t(), a)
        return _times(d_y.sum_to_size(shape), beta), _times(d_a, alpha), _times(d_b, alpha)


@register_map("aten.baddbmm.default")
class AddedBatch(Map):
    """y_n = beta c_n + alpha a_n b_n   (B,N,O) (B,N,I) (B,I,O) -> (B,N,O).
    dc = beta dy,  da_n = alpha dy_n b_n^T,  db_n = alpha a_n^T dy_n
    """

    @staticmethod
    def forward(c: Tensor, a: Tensor, b: Tensor, beta: float = 1, alpha: float = 1) -> tuple[Tensor, Any]:
        return torch.baddbmm(c, a, b, beta=beta, alpha=alpha), (c.shape, a, b, beta, alpha)

    @staticmethod
    def vjp(saved: Any, d_y: Tensor) -> tuple[Any, ...]:
        shape, a, b, beta, alpha = saved
        d_a, d_b = torch.bmm(d_y, b.mT), torch.bmm(a.mT, d_y)
        return _times(d_y.sum_to_size(shape), beta), _times(d_a, alpha), _times(d_b, alpha)


@register_map("aten.addbmm.default")
class AddedSum(Map):
    """y = beta c + alpha sum_n a_n b_n   (N,O) (B,N,I) (B,I,O) -> (N,O).
    dc = beta dy,  da_n = alpha dy b_n^T,  db_n = alpha a_n^T dy
    """

    @staticmethod
    def forward(c: Tensor, a: Tensor, b: Tensor, beta: float = 1, alpha: float = 1) -> tuple[Tensor, Any]:
        return torch.addbmm(c, a, b, beta=beta, alpha=alpha), (c.shape, a, b, beta, alpha)

    @staticmethod
    def vjp(saved: Any, d_y: Tensor) -> tuple[Any, ...]:
        shape, a, b, beta, alpha = saved
        each = d_y.expand(len(a), *d_y.shape)
        d_a, d_b = torch.bmm(each, b.mT), torch.bmm(a.mT, each)
        return _times(d_y.sum_to_size(shape), beta), _times(d_a, alpha), _times(d_b, alpha)


def _times(d: Tensor, factor: float) -> Tensor:
    return d if factor == 1 else d * factor
