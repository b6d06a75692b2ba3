"""Maps linear in a weight. N examples, I, J features in, O features out; "..." any number of leading dimensions."""

# ruff: noqa: D102 - the class's docstring holds the equations of both functions

from typing import Any

import torch
from torch import Tensor

from distbp.maps.base import Map
from distbp.maps.registry import register_map

FEW, LONG, BLOCK = 128, 1024, 512  # rows, and elements of an inner length and of its blocks


@register_map("aten.linear.default")
class LinearVector(Map):
    """y = W x + b   (I) (O,I) (O) -> (O).
    dx = W^T dy,  dW = dy x^T,  db = dy
    """

    @staticmethod
    def forward(x: Tensor, W: Tensor, b: Tensor | None = None) -> tuple[Tensor, Any]:
        return torch.mv(W, x) if b is None else torch.addmv(b, W, x), (x, W, b is None)

    @staticmethod
    def vjp(saved: Any, d_y: Tensor) -> tuple[Any, ...]:
        x, W, plain = saved
        return torch.mv(W.t(), d_y), torch.mm(d_y[:, None], x[None]), None if plain else d_y


@register_map("aten.linear.default", when=lambda inputs, _: len(inputs[0].shape) > 1)
class Linear(Map):
    """y = x W^T + b   (...,I) (O,I) (O) -> (...,O).
    dx = dy W,  dW = sum dy^T x,  db = sum dy
    """

    @staticmethod
    def forward(x: Tensor, W: Tensor, b: Tensor | None = None) -> tuple[Tensor, Any]:
        y = product(_rows(x), W.t(), b)
        return y if x.dim() == 2 else y.view(*x.shape[:-1], W.shape[0]), (x, W, b is None)

    @staticmethod
    def vjp(saved: Any, d_y: Tensor) -> tuple[Any, ...]:
        x, W, plain = saved
        rows = _rows(d_y)
        d_x = product(rows, W)
        d_x = d_x if x.dim() == 2 else d_x.view(x.shape)
        return d_x, torch.mm(rows.t(), _rows(x)), None if plain else rows.sum(0)


@register_map("aten.bilinear.default")
class Bilinear(Map):
    """y_o = x W_o z + b_o, h_o = W_o z   (...,I) (...,J) (O,I,J) (O) -> (...,O).
    dh = dy^T x,  dx = dy h,  dz = sum_o dh_o W_o,  dW = sum dh z^T,  db = sum dy
    """

    @staticmethod
    def forward(x: Tensor, z: Tensor, W: Tensor, b: Tensor | None = None) -> tuple[Tensor, Any]:
        o, i, j = W.shape
        h = torch.mm(z.reshape(-1, j), W.reshape(o * i, j).t()).view(-1, o, i)
        y = torch.bmm(h, x.reshape(-1, i, 1)).squeeze(2)
        return (y if b is None else y.add_(b)).view(*x.shape[:-1], o), (x, z, W, h, b is None)

    @staticmethod
    def vjp(saved: Any, d_y: Tensor) -> tuple[Any, ...]:
        x, z, W, h, plain = saved
        o, i, j = W.shape
        rows = d_y.reshape(-1, o)
        d_h = (rows[:, :, None] * x.reshape(-1, 1, i)).view(-1, o * i)
        d_x = torch.bmm(rows[:, None], h).view(x.shape)
        d_z = torch.mm(d_h, W.reshape(o * i, j)).view(z.shape)
        d_w = torch.mm(d_h.t(), z.reshape(-1, j)).view(W.shape)
        return d_x, d_z, d_w, None if plain else rows.sum(0)


def product(a: Tensor, b: Tensor, added: Tensor | None = None) -> Tensor:
    """a b, and what is ``added`` to each row.   (N,K) (K,O) (O) -> (N,O).

    Of few rows and a long inner length it is taken block by block. MKL packs b before it multiplies, and with 128 rows
    or less that is much of its time: with 1,024 by 1,024 numbers in b two blocks take 3 to 16 % less than the whole.
    With more rows it makes no difference.
    """
    cut = len(a) <= FEW and a.shape[1] >= LONG and b.shape[1] >= BLOCK and a.device.type == "cpu"
    begin, *rest = zip(torch.split(a, BLOCK, 1), torch.split(b, BLOCK), strict=True) if cut else [(a, b)]
    y = torch.mm(*begin) if added is None else torch.addmm(added, *begin)
    for left, right in rest:
        y.addmm_(left, right)
    return y


def _rows(x: Tensor) -> Tensor:
    return x if x.dim() == 2 else x.reshape(-1, x.shape[-1])
