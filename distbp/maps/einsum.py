"""Products of tensors of any rank: sums over the indices that the output lacks."""

# ruff: noqa: D102, PLR0917 - the class's docstring holds the equations of both functions

import math
from collections.abc import Sequence
from itertools import accumulate
from string import ascii_letters
from typing import Any

import torch
from torch import Tensor

from distbp.maps.base import Map
from distbp.maps.registry import register_map


def _spelt(equation: str, ranks: Sequence[int]) -> tuple[list[str], str]:
    """The letters of each operand and those of the output, with an ellipsis spelt in letters of its own."""
    left, arrow, output = equation.replace(" ", "").partition("->")
    terms = left.split(",")
    hidden = [rank + 3 - len(term) if "..." in term else 0 for term, rank in zip(terms, ranks, strict=True)]
    dots = "".join([c for c in ascii_letters if c not in equation][: max(hidden)])
    if not arrow:
        output = "..." + "".join(sorted(c for c in left if c.isalpha() and left.count(c) == 1))
    spelt = [term.replace("...", dots[len(dots) - n :]) for term, n in zip(terms, hidden, strict=True)]
    return spelt, output.replace("...", dots)


def _no_diagonal(inputs: Any, attributes: Any) -> bool:
    terms, _ = _spelt(attributes["equation"], [len(x.shape) for x in inputs[0]])
    return all(len(set(term)) == len(term) for term in terms)


@register_map("aten.einsum.default", when=_no_diagonal)
class Einsum(Map):
    """y_out = sum prod_k x_k, over all indices that the output lacks   operands of any shape -> (out).
    dx_k = sum dy prod_j x_j, j other than k, over all indices that x_k lacks
    """

    @staticmethod
    def forward(tensors: Sequence[Tensor], equation: str, path: list[int] | None = None) -> tuple[Tensor, Any]:
        return torch.ops.aten.einsum(equation, tensors, path=path), (tuple(tensors), equation)

    @staticmethod
    def vjp(saved: Any, d_y: Tensor) -> tuple[Any, ...]:
        tensors, equation = saved
        terms, output = _spelt(equation, [x.dim() for x in tensors])
        size: dict[str, int] = {}
        for term, x in zip(terms, tensors, strict=True):
            size |= {c: max(n, size.get(c, 1)) for c, n in zip(term, x.shape, strict=True)}
        # An index of size one beside a larger one is broadcast: without it the operand is the same.
        terms = [
            "".join(c for c, n in zip(term, x.shape, strict=True) if n == size[c])
            for term, x in zip(terms, tensors, strict=True)
        ]
        plain = [x.reshape([size[c] for c in term]) for term, x in zip(terms, tensors, strict=True)]
        numbers = range(len(terms))
        return (tuple(_gradient(k, terms, plain, output, d_y, size).reshape(tensors[k].shape) for k in numbers),)


def _gradient(k: int, terms: list[str], xs: list[Tensor], output: str, d_y: Tensor, size: dict[str, int]) -> Tensor:
    others = [output, *terms[:k], *terms[k + 1 :]]
    found = [c for c in terms[k] if any(c in term for term in others)]
    d: Tensor = torch.ops.aten.einsum(f"{','.join(others)}->{''.join(found)}", [d_y, *xs[:k], *xs[k + 1 :]])
    if len(found) == len(terms[k]):
        return d
    # An index of x_k alone was summed away: every value along it has the same gradient.
    return d.reshape([size[c] if c in found else 1 for c in terms[k]]).expand([size[c] for c in terms[k]])


def _same_sizes(inputs: Any, attributes: Any) -> bool:
    a, b = (x.shape for x in inputs)
    return [a[i] for i in attributes["dims_self"]] == [b[i] for i in attributes["dims_other"]]


@register_map("aten.tensordot.default", when=_same_sizes)
class TensorDot(Map):
    """y = sum_k a_fk b_kg over the dimensions k named in both, f and g all others   (f,k) (k,g) -> (f,g).
    da_fk = sum_g dy_fg b_kg,  db_kg = sum_f a_fk dy_fg
    """

    @staticmethod
    def forward(a: Tensor, b: Tensor, dims_self: list[int], dims_other: list[int]) -> tuple[Tensor, Any]:
        left, right = _free(a, dims_self), _free(b, dims_other)
        contracted = math.prod(a.shape[i] for i in dims_self)
        matrix_a = a.permute(*left, *dims_self).reshape(-1, contracted)
        matrix_b = b.permute(*dims_other, *right).reshape(contracted, -1)
        y = torch.mm(matrix_a, matrix_b).view([*(a.shape[i] for i in left), *(b.shape[i] for i in right)])
        return y, (a, b, [*left, *dims_self], [*dims_other, *right], contracted)

    @staticmethod
    def vjp(saved: Any, d_y: Tensor) -> tuple[Any, ...]:
        a, b, order_a, order_b, contracted = saved
        matrix_a = a.permute(order_a).reshape(-1, contracted)
        matrix_b = b.permute(order_b).reshape(contracted, -1)
        d = d_y.reshape(matrix_a.shape[0], matrix_b.shape[1])
        d_a, d_b = torch.mm(d, matrix_b.t()), torch.mm(matrix_a.t(), d)
        return _unpermuted(d_a, a, order_a), _unpermuted(d_b, b, order_b)


@register_map("aten.kron.default")
class Kronecker(Map):
    """y_pq = a_p b_q, p and q joined into one index in every dimension   (P,...) (Q,...) -> (PQ,...).
    da_p = sum_q dy_pq b_q,  db_q = sum_p dy_pq a_p
    """

    @staticmethod
    def forward(a: Tensor, b: Tensor) -> tuple[Tensor, Any]:
        return torch.kron(a, b), (a, b)

    @staticmethod
    def vjp(saved: Any, d_y: Tensor) -> tuple[Any, ...]:
        a, b = saved
        rank = d_y.dim()
        pairs = zip([1] * (rank - a.dim()) + [*a.shape], [1] * (rank - b.dim()) + [*b.shape], strict=True)
        split = d_y.reshape([n for pair in pairs for n in pair])
        d = split.permute(*range(0, 2 * rank, 2), *range(1, 2 * rank, 2)).reshape(a.numel(), b.numel())
        d_a, d_b = torch.mv(d, b.reshape(-1)), torch.mv(d.t(), a.reshape(-1))
        return d_a.view(a.shape), d_b.view(b.shape)


@register_map("aten.linalg_multi_dot.default")
@register_map("aten.chain_matmul.default", when=lambda inputs, _: len(inputs[0]) > 1)
class ChainProduct(Map):
    """y = x_1 x_2 ... x_n   (I) or (I,J), (J,K), ..., (L,O) or (L) -> (I,O) without what a vector lacks.
    dx_k = (x_1 ... x_k-1)^T dy (x_k+1 ... x_n)^T
    """

    @staticmethod
    def forward(tensors: Sequence[Tensor]) -> tuple[Tensor, Any]:
        return torch.linalg.multi_dot(tuple(tensors)), tuple(tensors)

    @staticmethod
    def vjp(saved: Any, d_y: Tensor) -> tuple[Any, ...]:
        first, *inner, last = saved
        chain = [first if first.dim() > 1 else first[None], *inner, last if last.dim() > 1 else last[:, None]]
        before = list(accumulate(chain[:-1], torch.mm))
        d = d_y.reshape(chain[0].shape[0], chain[-1].shape[1])
        gradients = []
        for product, x in zip(reversed(before), reversed(chain[1:]), strict=True):
            gradients.append(torch.mm(product.t(), d))
            d = torch.mm(d, x.t())
        return (tuple(g.view(x.shape) for g, x in zip([d, *reversed(gradients)], saved, strict=True)),)


def _free(x: Tensor, dims: list[int]) -> list[int]:
    taken = {i % x.dim() for i in dims}
    return [i for i in range(x.dim()) if i not in taken]


def _unpermuted(d: Tensor, x: Tensor, order: list[int]) -> Tensor:
    places = [i % x.dim() for i in order]
    inverse = [places.index(i) for i in range(x.dim())]
    return d.view([x.shape[i] for i in places]).permute(inverse)
