"""The law can fail: VJPs with a fault planted in them, each of which the check must see."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from distbp.maps import activation, arithmetic, cross_entropy, dropout, linear, loss, rectifier, reduce, shape
from distbp.maps.base import Map
from distbp.maps.check import Call, tape_error, transpose_error

torch.manual_seed(0)
X, SQUARE, W, B = (torch.randn(s, dtype=torch.float64) for s in ((4, 3), (3, 3), (3, 3), (3,)))
LABELS = torch.tensor([0, 2, 1, 0])


def _double(saved: Any, d_y: Tensor) -> Any:
    return linear.Linear.vjp(saved, 2 * d_y)


def _transposed_weight(saved: Any, d_y: Tensor) -> Any:
    x, w, _ = saved
    return d_y @ w.t(), d_y.t() @ x, d_y.sum(0)


def _transposed_gradient(saved: Any, d_y: Tensor) -> Any:
    x, w, _ = saved
    return d_y @ w, x.t() @ d_y, d_y.sum(0)


def _mean_bias(saved: Any, d_y: Tensor) -> Any:
    d_x, d_w, _ = linear.Linear.vjp(saved, d_y)
    return d_x, d_w, d_y.mean(0)


def _no_sum(_saved: Any, d_y: Tensor) -> Any:
    return d_y, d_y


def _first_row_only(_saved: Any, d_y: Tensor) -> Any:
    return d_y, d_y[0]


def _forgotten_mask(_saved: Any, d_y: Tensor) -> Any:
    return (d_y,)


def _of_the_input(y: Any, d_y: Tensor) -> Any:
    return (d_y * (1 - y.atanh() ** 2),)


def _swapped(saved: Any, d_y: Tensor) -> Any:
    a, b = saved
    return d_y * a, d_y * b


def _wrong_sign(_saved: Any, d_y: Tensor) -> Any:
    return d_y, d_y


def _no_mean(shape: Any, d_y: Tensor) -> Any:
    return (d_y.expand(shape),)


def _no_one_hot(saved: Any, d_l: Tensor) -> Any:
    _frame, log_p, *_ = saved
    return log_p.exp() * d_l, None, None


def _half_a_square(saved: Any, d_l: Tensor) -> Any:
    x, t, _ = saved
    return (x - t) * d_l, (t - x) * d_l


def _not_put_back(_saved: Any, d_y: Tensor) -> Any:
    return (d_y.reshape(3, 4).t().contiguous(),)


Fault = Callable[[Any, Tensor], Any]
PLANTED: list[tuple[Fault, type[Map], list[Any], dict[str, Any]]] = [
    (_double, linear.Linear, [X, W, B], {}),
    (_transposed_weight, linear.Linear, [X, W, B], {}),
    (_transposed_gradient, linear.Linear, [X, W, B], {}),
    (_mean_bias, linear.Linear, [X, W, B], {}),
    (_no_sum, arithmetic.Sum, [X, B], {}),
    (_first_row_only, arithmetic.Sum, [X, B], {}),
    (_forgotten_mask, rectifier.Relu, [X], {}),
    (_forgotten_mask, dropout.Dropout, [X], {"p": 0.5, "train": True}),
    (_of_the_input, activation.Tanh, [X], {}),
    (_swapped, arithmetic.Product, [SQUARE, W], {}),
    (_wrong_sign, arithmetic.Difference, [X, X + 1], {}),
    (_no_mean, reduce.MeanAll, [X], {}),
    (_no_one_hot, cross_entropy.CrossEntropy, [X, LABELS, None], {"reduction": 2}),
    (_half_a_square, loss.SquaredError, [X, X + 1], {"reduction": 2}),
    (_not_put_back, shape.Flatten, [X], {"start_dim": 0}),
]


@pytest.mark.parametrize(("fault", "rule", "inputs", "attributes"), PLANTED)
def test_a_planted_fault_is_caught(
    fault: Fault, rule: type[Map], inputs: list[Any], attributes: dict[str, Any]
) -> None:
    assert transpose_error(Call(rule, inputs, attributes)) < 1e-7
    wrong = Call(type(rule.__name__, (rule,), {"vjp": staticmethod(fault)}), inputs, attributes)
    assert transpose_error(wrong) > 1e-3
    assert tape_error(wrong) > 1e-3
