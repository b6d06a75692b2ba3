"""The law can fail: VJPs with a fault planted in them, each of which the check must see."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from distbp.maps import dropout, linear, loss, pointwise, reduce, shape
from distbp.maps.base import Map
from distbp.maps.check import Call, destination_error, tape_error, transpose_error
from distbp.maps.into import FRESH

torch.manual_seed(0)
X, SQUARE, W, B = (torch.randn(s, dtype=torch.float64) for s in ((4, 3), (3, 3), (3, 3), (3,)))
LABELS = torch.tensor([0, 2, 1, 0])


def _double(_: Any, saved: Any, d_y: Tensor, into: Any) -> Any:
    return linear.Linear.vjp(saved, 2 * d_y, into)


def _transposed_weight(_: Any, saved: Any, d_y: Tensor, into: Any) -> Any:
    x, w = saved
    return into[0].matmul(d_y, w.t()), into[1].mm(d_y.t(), x), into[2].sum(d_y, (0,))


def _transposed_gradient(_: Any, saved: Any, d_y: Tensor, into: Any) -> Any:
    x, w = saved
    return into[0].matmul(d_y, w), into[1].mm(x.t(), d_y), into[2].sum(d_y, (0,))


def _mean_bias(_: Any, saved: Any, d_y: Tensor, into: Any) -> Any:
    d_x, d_w, _db = linear.Linear.vjp(saved, d_y, (into[0], into[1], FRESH))
    return d_x, d_w, into[2].put(d_y.mean(0))


def _no_sum(_: Any, saved: Any, d_y: Tensor, into: Any) -> Any:
    return into[0].put(d_y), into[1].put(d_y)


def _first_row_only(_: Any, saved: Any, d_y: Tensor, into: Any) -> Any:
    return into[0].put(d_y), into[1].put(d_y[0])


def _forgotten_mask(_: Any, saved: Any, d_y: Tensor, into: Any) -> Any:
    return (into[0].put(d_y),)


def _swapped(_: Any, saved: Any, d_y: Tensor, into: Any) -> Any:
    a, b = saved
    return into[0].put(d_y * a), into[1].put(d_y * b)


def _wrong_sign(_: Any, saved: Any, d_y: Tensor, into: Any) -> Any:
    a_shape, b_shape, alpha = saved
    return into[0].fold(d_y, a_shape), into[1].scale(d_y, alpha, b_shape)


def _no_mean(_: Any, saved: Any, d_y: Tensor, into: Any) -> Any:
    return (into[0].put(d_y.expand(saved[0])),)


def _no_one_hot(_: Any, saved: Any, d_l: Tensor, into: Any) -> Any:
    return into[0].put(saved[0].exp() * d_l), None, None


def _half_a_square(_: Any, saved: Any, d_l: Tensor, into: Any) -> Any:
    x, t, _ = saved
    return into[0].put((x - t) * d_l), into[1].put((t - x) * d_l)


def _not_put_back(_: Any, saved: Any, d_y: Tensor, into: Any) -> Any:
    return (into[0].put(d_y.reshape(3, 4).t().contiguous()),)


def _ignores_the_destination(_: Any, saved: Any, d_y: Tensor, into: Any) -> Any:
    return (d_y * (1 - saved * saved),)


Fault = Callable[..., Any]
PLANTED: list[tuple[Fault, type[Map], list[Any], dict[str, Any]]] = [
    (_double, linear.Linear, [X, W, B], {}),
    (_transposed_weight, linear.Linear, [X, W, B], {}),
    (_transposed_gradient, linear.Linear, [X, W, B], {}),
    (_mean_bias, linear.Linear, [X, W, B], {}),
    (_no_sum, pointwise.Sum, [X, B], {}),
    (_first_row_only, pointwise.Sum, [X, B], {}),
    (_forgotten_mask, pointwise.Relu, [X], {}),
    (_forgotten_mask, dropout.Dropout, [X], {"p": 0.5, "train": True}),
    (_swapped, pointwise.Product, [SQUARE, W], {}),
    (_wrong_sign, pointwise.Difference, [X, X + 1], {}),
    (_no_mean, reduce.MeanAll, [X], {}),
    (_no_one_hot, loss.CrossEntropy, [X, LABELS, None], {"reduction": 2}),
    (_half_a_square, loss.SquaredError, [X, X + 1], {"reduction": 2}),
    (_not_put_back, shape.Flatten, [X], {"start_dim": 0}),
]


def _faulty(fault: Fault, rule: type[Map]) -> type[Map]:
    return type(rule.__name__, (rule,), {"vjp": classmethod(fault)})


@pytest.mark.parametrize(("fault", "rule", "inputs", "attributes"), PLANTED)
def test_a_planted_fault_is_caught(
    fault: Fault, rule: type[Map], inputs: list[Any], attributes: dict[str, Any]
) -> None:
    assert transpose_error(Call(rule, inputs, attributes)) < 1e-7
    wrong = Call(_faulty(fault, rule), inputs, attributes)
    assert transpose_error(wrong) > 1e-3
    assert tape_error(wrong) > 1e-3


def test_a_gradient_that_does_not_go_where_it_is_sent_is_caught() -> None:
    wrong = Call(_faulty(_ignores_the_destination, pointwise.Tanh), [X], {})
    assert transpose_error(wrong) < 1e-7
    assert destination_error(wrong) > 1e-3
