"""Faults that people make in a backward pass, each with the layer of tests/check/models.py that it stands in.

A fault is the wrong VJP itself, written out, or what it does to the right one.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from distbp.maps.activation import Gelu, Sigmoid, Tanh
from distbp.maps.arithmetic import Difference, Product, Ratio, Sum
from distbp.maps.attention import TiledAttention
from distbp.maps.base import Map
from distbp.maps.batch_norm import BatchNormTracked
from distbp.maps.conv import Conv
from distbp.maps.cross_entropy import CrossEntropy
from distbp.maps.dropout import Dropout
from distbp.maps.embedding import Embedding
from distbp.maps.join import Concatenate
from distbp.maps.linear import Linear
from distbp.maps.lstm import Steps
from distbp.maps.norm import LayerNorm
from distbp.maps.order import Permute
from distbp.maps.pool import MaxPool2d, MeanPool2d
from distbp.maps.rectifier import Relu
from distbp.maps.reduce import MeanOver
from distbp.maps.repeat import Expand
from distbp.maps.section import Slice
from distbp.maps.shape import Flatten
from distbp.maps.softmax import Softmax

aten = torch.ops.aten
Vjp = Callable[..., Any]


class Fault(NamedTuple):
    rule: type[Map] | type[Steps]
    vjp: Callable[[Vjp], Vjp]  # the wrong one, given the right one
    layer: str


def written(wrong: Vjp) -> Callable[[Vjp], Vjp]:
    """A fault that has no need of the right VJP."""
    return lambda _right: wrong


def after(spoil: Callable[..., Any]) -> Callable[[Vjp], Vjp]:
    """A fault in what the right VJP gives."""
    return lambda right: lambda saved, *d: spoil(*right(saved, *d))


def before(spoil: Callable[[Any], Any]) -> Callable[[Vjp], Vjp]:
    """A fault in what was saved."""
    return lambda right: lambda saved, *d: right(spoil(saved), *d)


def _conv(**told: Any) -> Callable[[Vjp], Vjp]:
    """A convolution's VJP with another stride, padding, dilation or number of groups."""
    names = ("stride", "padding", "dilation", "transposed", "output_padding", "groups")

    def spoil(saved: Any) -> Any:
        *first, known = saved
        return (*first, tuple(told.get(name, value) for name, value in zip(names, known, strict=True)))

    return before(spoil)


def _in_place(saved: Any, d_y: Tensor) -> Any:
    return (d_y.mul_(saved > 0),)


def _statistics_constant(saved: Any, d_outputs: Any) -> Any:
    x, weight, _, m, r, _ = saved
    d_y, wide = d_outputs[0], (1, -1, 1, 1)
    z = (x - m.view(wide)) * r.view(wide)
    return d_y * (weight * r).view(wide), (d_y * z).sum((0, 2, 3)), d_y.sum((0, 2, 3)), None, None


def _layer_without_mean(saved: Any, d_y: Tensor) -> Any:
    x, _, m, r, weight, _ = saved
    z = (x - m) * r
    g = d_y * weight
    return (g - z * (g * z).mean(-1, keepdim=True)) * r, (d_y * z).sum((0, 1)), d_y.sum((0, 1))


def _everywhere_in_the_window(saved: Any, d_y: Tensor) -> Any:
    del saved
    return (d_y.repeat_interleave(2, 2).repeat_interleave(2, 3),)


def _last_row_wins(saved: Any, d_y: Tensor) -> Any:
    numbers, count, padding, _ = saved
    d_W = d_y.new_zeros(count, d_y.shape[-1])
    d_W[numbers.flatten()] = d_y.flatten(0, 1)
    d_W[padding] = 0
    return d_W, None


def _without_padding(saved: Any) -> Any:
    numbers, count, _, by_frequency = saved
    return numbers, count, -1, by_frequency


def _ignored_labels_count(saved: Any, d_l: Tensor) -> Any:
    _, log_p, target, *_ = saved
    one_hot = torch.zeros_like(log_p).scatter_(1, target[:, None], 1)
    return (log_p.exp() - one_hot) * d_l, None, None


def _no_one_hot(saved: Any, d_l: Tensor) -> Any:
    _, log_p, target, *_ = saved
    return log_p.exp() * (target != 3)[:, None] * d_l, None, None


def _denominator_not_squared(saved: Any, d_y: Tensor) -> Any:
    y, b, _ = saved
    return d_y / b, -(d_y * y).sum(0)


IMAGES: dict[str, Fault] = {
    "weight not transposed": Fault(Linear, written(lambda s, d: (d @ s[1].t(), d.t() @ s[0], d.sum(0))), "hidden"),
    "weight's gradient transposed": Fault(Linear, after(lambda dx, dW, db: (dx, dW.t(), db)), "hidden"),
    "bias averaged over the batch": Fault(Linear, after(lambda dx, dW, db: (dx, dW, db / 6)), "hidden"),
    "bias of the first example only": Fault(Linear, written(lambda s, d: (d @ s[1], d.t() @ s[0], d[0])), "hidden"),
    "gradient doubled": Fault(Linear, after(lambda dx, dW, db: (dx, 2 * dW, db)), "hidden"),
    "input's gradient forgotten": Fault(Linear, after(lambda dx, dW, db: (dx * 0, dW, db)), "hidden"),
    "broadcast not summed": Fault(Sum, written(lambda _, d: (d, d)), "add"),
    "broadcast: first row only": Fault(Sum, written(lambda s, d: (d, d[0] if len(s[1].shape) == 1 else d)), "add"),
    "factors exchanged": Fault(Product, after(lambda da, db: (da, -db)), "scale"),
    "minus forgotten": Fault(Difference, written(lambda _, d: (d, d)), "minus"),
    "denominator not squared": Fault(Ratio, written(_denominator_not_squared), "ratio"),
    "mask of ReLU forgotten": Fault(Relu, written(lambda _, d: (d,)), "relu"),
    "mask of ReLU inverted": Fault(Relu, written(lambda y, d: (d * (y == 0),)), "relu"),
    "mask of dropout forgotten": Fault(Dropout, written(lambda _, d: (d,)), "dropout"),
    "scale of dropout forgotten": Fault(Dropout, written(lambda m, d: (d * (m > 0),)), "dropout"),
    "tanh' of the input": Fault(Tanh, written(lambda y, d: (d * (1 - y.atanh() ** 2),)), "tanh"),
    "labels not subtracted": Fault(CrossEntropy, written(_no_one_hot), "the loss"),
    "ignored labels not ignored": Fault(CrossEntropy, written(_ignored_labels_count), "the loss"),
    "wrong padding": Fault(Conv, _conv(padding=[2, 2]), "conv1"),
    "wrong stride": Fault(Conv, _conv(stride=[1, 1]), "conv1"),
    "wrong dilation": Fault(Conv, _conv(dilation=[1, 1], padding=[1, 1]), "conv2"),
    "groups forgotten": Fault(Conv, _conv(groups=1), "conv2"),
    "kernel flipped": Fault(Conv, after(lambda dx, dW, db: (dx, dW.flip(2, 3), db)), "conv1"),
    "batch statistics taken for constants": Fault(BatchNormTracked, written(_statistics_constant), "norm"),
    "maximum given to the whole window": Fault(MaxPool2d, written(_everywhere_in_the_window), "maximum"),
    "mean of a window not divided": Fault(MeanPool2d, after(lambda dx: (dx * 4,)), "average"),
    "flattened in another order": Fault(
        Flatten, written(lambda s, d: (d.t().contiguous().reshape(s) if len(s) == 4 else d.reshape(s),)), "flatten"
    ),
    "pieces exchanged": Fault(Concatenate, after(lambda ds: (tuple(ds)[::-1],)), "join"),
    "slice put at the beginning": Fault(Slice, before(lambda s: (s[0], s[1], 0, 22, s[4])), "piece"),
    "written in place over another's gradient": Fault(Relu, written(_in_place), "relu"),
}
TOKENS: dict[str, Fault] = {
    "sigmoid' without 1 - y": Fault(Sigmoid, written(lambda y, d: (d * y,)), "sigmoid"),
    "GELU' without its second term": Fault(Gelu, written(lambda s, d: (d * torch.special.ndtr(s[0]),)), "gelu"),
    "softmax' without its sum": Fault(Softmax, written(lambda s, d: (d * s[0],)), "weights"),
    "softmax' over another dimension": Fault(Softmax, before(lambda s: (s[0], 2)), "weights"),
    "mean not divided": Fault(MeanOver, written(lambda s, d: (d.unsqueeze(1).expand(s[0]),)), "pooled"),
    "missing mean in layer norm": Fault(LayerNorm, written(_layer_without_mean), "norm"),
    "rows overwritten, not added": Fault(Embedding, written(_last_row_wins), "token"),
    "padding row trained": Fault(Embedding, before(_without_padding), "token"),
    "scale of attention forgotten": Fault(TiledAttention, after(lambda q, k, v, m: (q * 2, k * 2, v, m)), "attention"),
    "causal mask forgotten": Fault(TiledAttention, before(lambda s: s._replace(is_causal=False)), "attention"),
    "dimensions not put back": Fault(Permute, written(lambda dims, d: (d.reshape(3, 2, 5, 4),)), "merge"),
    "repetitions not summed": Fault(Expand, written(lambda s, d: (d[0],)), "spread"),
    "cell's gradient not carried": Fault(Steps, after(lambda dx, ds, dp: (dx * 0.5, ds, dp)), "lstm"),
}
