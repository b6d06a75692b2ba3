"""Tables that are read by row number. V rows (the vocabulary), D features, M numbers read, B bags."""

# ruff: noqa: D102 - the class's docstring holds the equations of both functions

from typing import Any

import torch
from torch import Tensor

from distbp.maps.base import Lookup, Map
from distbp.maps.registry import register_map

SUM, MEAN, MAX = range(3)


@register_map("aten.embedding.default")
class Embedding(Lookup):
    """y = W[i]   (V,D) (...) -> (...,D).
    dW[v] = sum_{i = v} dy, without v = padding_idx, divided by the count of v if scale_grad_by_freq
    """

    @staticmethod
    def forward(
        W: Tensor,
        numbers: Tensor,
        padding_idx: int = -1,
        scale_grad_by_freq: bool = False,
        sparse: bool = False,  # noqa: ARG004 - whether to call vjp or vjp_rows is not this map's to say
    ) -> tuple[Tensor, Any]:
        y = W.index_select(0, numbers.reshape(-1)).view(*numbers.shape, W.shape[1])
        return y, (numbers, W.shape[0], padding_idx, scale_grad_by_freq)

    @staticmethod
    def vjp(saved: Any, d_y: Tensor) -> tuple[Any, ...]:
        numbers, count, padding, by_frequency = saved
        if d_y.is_cuda:  # where index_add_ is atomic, so its bits would differ from run to run
            return torch.ops.aten.embedding_dense_backward(d_y, numbers, count, padding, by_frequency), None
        flat = numbers.reshape(-1)
        rows = d_y.reshape(-1, d_y.shape[-1])
        if by_frequency:
            rows = rows / _frequencies(flat, count, rows)
        if padding >= 0:
            rows = torch.where((flat != padding).unsqueeze(1), rows, 0)
        return _accumulated(rows, flat, count), None

    @staticmethod
    def vjp_rows(saved: Any, d_y: Tensor) -> tuple[Any, ...]:
        numbers, _, padding, _ = saved
        return (_unpadded(numbers.reshape(-1), padding), d_y.reshape(-1, d_y.shape[-1])), None


class Bags(Lookup):
    """y_b = sum_{i in b} p_i W[n_i], or their mean, without n_i = padding_idx   (V,D) (M) (B) (M) -> (B,D).
    dW[v] = sum_{n_i = v} p_i dy_{b(i)},  dp_i = W[n_i] . dy_{b(i)}
    """

    @staticmethod
    def forward(
        W: Tensor,
        numbers: Tensor,
        offsets: Tensor,
        p: Tensor | None = None,
        *,
        scale_grad_by_freq: bool = False,
        mode: int = SUM,
        sparse: bool = False,  # noqa: ARG004
        include_last_offset: bool = False,
        padding_idx: int | None = None,
    ) -> tuple[tuple[Tensor, ...], Any]:
        padding = _row(W, padding_idx)
        numbers, offsets = numbers.contiguous(), offsets.contiguous()  # the kernel takes them for so
        outputs = torch.ops.aten._embedding_bag(
            W, numbers, offsets, False, mode, False, p, include_last_offset, padding
        )
        _, bags, sizes, _ = outputs
        return outputs, (W, numbers, offsets, p, bags, sizes, (mode, padding, scale_grad_by_freq))

    @staticmethod
    def vjp(saved: Any, d_outputs: tuple[Tensor, ...]) -> tuple[Any, ...]:
        W, numbers, offsets, p, bags, sizes, (mode, padding, by_frequency) = saved
        d_y, aten = d_outputs[0].contiguous(), torch.ops.aten
        if not bags.shape[0]:  # torch names no bags where it sums without a mask
            bags = _bags(offsets, numbers)
        d_p = None
        if p is not None:
            d_p = aten._embedding_bag_per_sample_weights_backward(d_y, W, numbers, offsets, bags, mode, padding)
        if d_y.is_cuda or by_frequency:  # which torch counts in its own way
            told = (W.shape[0], by_frequency, mode, p, padding)
            return aten._embedding_bag_dense_backward(d_y, numbers, bags, sizes, sizes, *told), None, None, d_p
        rows = _spread(d_y, bags, sizes if mode == MEAN else None, p)
        if padding >= 0:
            rows.mul_((numbers != padding).unsqueeze(1))
        return _accumulated(rows, numbers, W.shape[0]), None, None, d_p

    @staticmethod
    def vjp_rows(saved: Any, d_outputs: tuple[Tensor, ...]) -> tuple[Any, ...]:
        W, numbers, offsets, p, bags, sizes, (mode, padding, _) = saved
        d_y = d_outputs[0].contiguous()
        if not bags.shape[0]:
            bags = _bags(offsets, numbers)
        rows = _spread(d_y, bags, sizes if mode == MEAN else None, p)
        d_p = None
        if p is not None:
            told = (W, numbers, offsets, bags, mode, padding)
            d_p = torch.ops.aten._embedding_bag_per_sample_weights_backward(d_y, *told)
        return (_unpadded(numbers, padding), rows), None, None, d_p


class LargestOfBags(Map):
    """y_b = max_{i in b} W[n_i], without n_i = padding_idx, 0 for none   (V,D) (M) (B) -> (B,D).
    dW[v,d] = sum_b dy_{b,d} where v is the largest row of b in d
    """

    @staticmethod
    def forward(
        W: Tensor,
        numbers: Tensor,
        offsets: Tensor,
        p: None = None,
        *,
        scale_grad_by_freq: bool = False,  # noqa: ARG004 - torch allows it only for sums and means
        mode: int = MAX,
        sparse: bool = False,  # noqa: ARG004
        include_last_offset: bool = False,
        padding_idx: int | None = None,
    ) -> tuple[tuple[Tensor, ...], Any]:
        numbers, offsets = numbers.contiguous(), offsets.contiguous()  # the kernel takes them for so
        outputs = torch.ops.aten._embedding_bag(
            W, numbers, offsets, False, mode, False, p, include_last_offset, _row(W, padding_idx)
        )
        _, _, sizes, largest = outputs
        return outputs, (sizes, largest, W.shape[0])

    @staticmethod
    def vjp(saved: Any, d_outputs: tuple[Tensor, ...]) -> tuple[Any, ...]:
        sizes, largest, count = saved
        d_y = torch.where((sizes > 0).unsqueeze(1), d_outputs[0], 0)
        d_W = torch.zeros(count, d_y.shape[1], dtype=d_y.dtype, device=d_y.device)
        if d_y.is_cuda:  # where scatter_add_ is atomic
            columns = torch.arange(d_y.shape[1], device=d_y.device)
            return d_W.index_put_((largest.long(), columns), d_y, accumulate=True), None, None, None
        return d_W.scatter_add_(0, largest.long(), d_y), None, None, None


for _op in ("aten.embedding_bag.default", "aten.embedding_bag.padding_idx"):
    register_map(_op)(Bags)
    register_map(_op, when=lambda _, attributes: attributes["mode"] == MAX)(LargestOfBags)


def _spread(d_y: Tensor, bags: Tensor, sizes: Tensor | None, p: Tensor | None) -> Tensor:
    """What each number read has of its bag's gradient; ``sizes`` are given where that was a mean.   (B,D) -> (M,D)"""
    if sizes is not None:
        d_y = d_y / sizes.clamp(min=1).unsqueeze(1).to(d_y.dtype)
    rows = d_y.index_select(0, bags)
    return rows if p is None else rows.mul_(p.unsqueeze(1))


def _unpadded(numbers: Tensor, padding: int) -> Tensor:
    """The numbers, with -1 where the padding is read."""
    return torch.where(numbers == padding, -1, numbers) if padding >= 0 else numbers


def _accumulated(rows: Tensor, numbers: Tensor, count: int) -> Tensor:
    """The rows, each added to its number's row of a table of ``count``."""
    return torch.zeros(count, rows.shape[1], dtype=rows.dtype, device=rows.device).index_add_(0, numbers, rows)


def _frequencies(numbers: Tensor, count: int, like: Tensor) -> Tensor:
    """How often each of the numbers is among them, as a column."""
    ones = torch.ones(numbers.shape, dtype=like.dtype, device=like.device)
    counts = torch.zeros(count, dtype=like.dtype, device=like.device).index_add_(0, numbers, ones)
    return counts.index_select(0, numbers).unsqueeze(1)


def _bags(offsets: Tensor, numbers: Tensor) -> Tensor:
    """The bag of each number: the last that begins at or before it."""
    positions = torch.arange(numbers.shape[0], dtype=offsets.dtype, device=offsets.device)
    return torch.searchsorted(offsets, positions, right=True).sub_(1).to(numbers.dtype)


def _row(W: Tensor, padding_idx: int | None) -> int:
    """The padding's row counted from the first, or -1 for none."""
    return -1 if padding_idx is None else padding_idx % W.shape[0]
