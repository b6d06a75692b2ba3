"""Recurrent networks without gates (Elman 1990): over time, by layers, and one step alone.

T time, N examples, I features in, H hidden, L layers times directions.
"""

# ruff: noqa: D102 - the class's docstring holds the equations of both functions

from collections.abc import Sequence
from typing import Any

import torch
from torch import Generator, Tensor
from torch.nn.functional import linear

from distbp.maps import recurrent
from distbp.maps.base import Map
from distbp.maps.recurrent import Cell, Gradients, Run, pile
from distbp.maps.registry import register_map


class TanhSteps(Cell):
    """h' = tanh(x W_ih^T + h W_hh^T + b)   (N,I) (N,H) -> (N,H).
    da = dh' (1 - h'^2),  dx = da W_ih,  dh = da W_hh
    """

    @staticmethod
    def forward(
        x: Tensor, states: Sequence[Tensor], parameters: Sequence[Tensor], reverse: bool
    ) -> tuple[Tensor, Sequence[Tensor], Any]:
        return _steps(torch.tanh_, x, states, parameters, reverse)

    @staticmethod
    def vjp(run: Run, d_y: Tensor | None, d_last: Sequence[Tensor | None]) -> Gradients:
        return _steps_vjp(1 - run.y * run.y, run, d_y, d_last)


class ReluSteps(Cell):
    """h' = max(0, x W_ih^T + h W_hh^T + b)   (N,I) (N,H) -> (N,H).
    da = [h' > 0] dh',  dx = da W_ih,  dh = da W_hh
    """

    @staticmethod
    def forward(
        x: Tensor, states: Sequence[Tensor], parameters: Sequence[Tensor], reverse: bool
    ) -> tuple[Tensor, Sequence[Tensor], Any]:
        return _steps(torch.relu_, x, states, parameters, reverse)

    @staticmethod
    def vjp(run: Run, d_y: Tensor | None, d_last: Sequence[Tensor | None]) -> Gradients:
        return _steps_vjp(run.y.sign(), run, d_y, d_last)


def _steps(
    activation: Any, x: Tensor, states: Sequence[Tensor], parameters: Sequence[Tensor], reverse: bool
) -> tuple[Tensor, Sequence[Tensor], Any]:
    (h,), (W_ih, W_hh, *b) = states, parameters
    a = linear(x, W_ih, b[0] + b[1] if b else None)
    formed = []
    for t in recurrent.order(x, reverse):
        h = activation(torch.addmm(a[t], h, W_hh.t()))
        formed.append(h)
    return pile(formed[:: -1 if reverse else 1]), (h,), None


def _steps_vjp(d_a: Tensor, run: Run, d_y: Tensor | None, d_last: Sequence[Tensor | None]) -> Gradients:
    """``d_a`` comes with the activation's slope at every time; the steps multiply into it what reaches them."""
    times = run.order()
    d_h = recurrent.arriving(d_y, times[-1], d_last[0], d_a[0])
    for t, before in zip(reversed(times), [*reversed(times[:-1]), None], strict=True):
        d_h = recurrent.carried(d_a[t].mul_(d_h), run.parameters[1], d_y, before)
    d_x, d_parameters = recurrent.weighted(run, d_a)
    return d_x, (d_h,), d_parameters


@register_map("aten.rnn_tanh.input", when=recurrent.plain)
class TanhRNN(Map):
    """y, h_n = L layers of h_t = tanh(x_t W_ih^T + h_{t-1} W_hh^T + b)   (T,N,I) (L,N,H) -> (T,N,H) (L,N,H).
    da_t = dh_t (1 - h_t^2),  dh_{t-1} += da_t W_hh,  dW_ih = sum_t da_t^T x_t,  db = sum_t da_t
    """

    @staticmethod
    def forward(
        x: Tensor, h: Tensor, parameters: Sequence[Tensor], **attributes: Any
    ) -> tuple[tuple[Tensor, ...], Any]:
        return recurrent.forward(TanhSteps, x, (h,), parameters, attributes)

    @staticmethod
    def vjp(saved: Any, d_outputs: Sequence[Tensor | None]) -> tuple[Any, ...]:
        d_x, (d_h,), d_parameters = recurrent.vjp(TanhSteps, saved, d_outputs)
        return d_x, d_h, d_parameters


@register_map("aten.rnn_tanh.input", when=recurrent.dropped)
class DroppedTanhRNN(Map):
    """y, h_n = TanhRNN with m x in place of x before each layer but the first, m drawn as in dropout.
    dx = m d(m x), else as TanhRNN
    """

    random = True

    @staticmethod
    def forward(
        x: Tensor, h: Tensor, parameters: Sequence[Tensor], generator: Generator, **attributes: Any
    ) -> tuple[tuple[Tensor, ...], Any]:
        return recurrent.forward(TanhSteps, x, (h,), parameters, attributes, generator=generator)

    vjp = staticmethod(TanhRNN.vjp)


@register_map("aten.rnn_relu.input", when=recurrent.plain)
class ReluRNN(Map):
    """y, h_n = L layers of h_t = max(0, x_t W_ih^T + h_{t-1} W_hh^T + b)   (T,N,I) (L,N,H) -> (T,N,H) (L,N,H).
    da_t = [h_t > 0] dh_t,  dh_{t-1} += da_t W_hh,  dW_ih = sum_t da_t^T x_t,  db = sum_t da_t
    """

    @staticmethod
    def forward(
        x: Tensor, h: Tensor, parameters: Sequence[Tensor], **attributes: Any
    ) -> tuple[tuple[Tensor, ...], Any]:
        return recurrent.forward(ReluSteps, x, (h,), parameters, attributes)

    @staticmethod
    def vjp(saved: Any, d_outputs: Sequence[Tensor | None]) -> tuple[Any, ...]:
        d_x, (d_h,), d_parameters = recurrent.vjp(ReluSteps, saved, d_outputs)
        return d_x, d_h, d_parameters


@register_map("aten.rnn_relu.input", when=recurrent.dropped)
class DroppedReluRNN(Map):
    """y, h_n = ReluRNN with m x in place of x before each layer but the first, m drawn as in dropout.
    dx = m d(m x), else as ReluRNN
    """

    random = True

    @staticmethod
    def forward(
        x: Tensor, h: Tensor, parameters: Sequence[Tensor], generator: Generator, **attributes: Any
    ) -> tuple[tuple[Tensor, ...], Any]:
        return recurrent.forward(ReluSteps, x, (h,), parameters, attributes, generator=generator)

    vjp = staticmethod(ReluRNN.vjp)


@register_map("aten.rnn_tanh_cell.default")
class TanhStep(Map):
    """h' = tanh(x W_ih^T + h W_hh^T + b)   (N,I) (N,H) -> (N,H).
    da = dh' (1 - h'^2),  dx = da W_ih,  dh = da W_hh,  dW_ih = da^T x,  db = sum_n da
    """

    @staticmethod
    def forward(x: Tensor, h: Tensor, *parameters: Tensor | None) -> tuple[Tensor, Any]:
        (h,), run = recurrent.step(TanhSteps, x, (h,), parameters)
        return h, run

    @staticmethod
    def vjp(run: Run, d_h: Tensor) -> tuple[Any, ...]:
        d_x, (d_before,), d_parameters = recurrent.step_vjp(TanhSteps, run, (d_h,))
        return d_x, d_before, *d_parameters


@register_map("aten.rnn_relu_cell.default")
class ReluStep(Map):
    """h' = max(0, x W_ih^T + h W_hh^T + b)   (N,I) (N,H) -> (N,H).
    da = [h' > 0] dh',  dx = da W_ih,  dh = da W_hh,  dW_ih = da^T x,  db = sum_n da
    """

    @staticmethod
    def forward(x: Tensor, h: Tensor, *parameters: Tensor | None) -> tuple[Tensor, Any]:
        (h,), run = recurrent.step(ReluSteps, x, (h,), parameters)
        return h, run

    @staticmethod
    def vjp(run: Run, d_h: Tensor) -> tuple[Any, ...]:
        d_x, (d_before,), d_parameters = recurrent.step_vjp(ReluSteps, run, (d_h,))
        return d_x, d_before, *d_parameters
