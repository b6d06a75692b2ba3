"""Long short-term memory (Hochreiter & Schmidhuber 1997): over time, by layers, and one step alone.

T time, N examples, I features in, H hidden, L layers times directions. Gates stand in torch's order i, f, g, o.
Where the parameters end with a projection W_hr (P,H) the hidden state is h = W_hr m, (N,P), of m = o tanh c (Sak et al.
2014); else it is m itself.
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

MODE = 2  # the LSTM's number among oneDNN's recurrent layers


class Steps(Cell):
    """i, f, o = sigma(.), g = tanh(.) of x W_ih^T + h W_hh^T + b;  c' = f c + i g,  m = o tanh c',  h' = m or W_hr m.
    dm = dh' or W_hr^T dh',  do = dm tanh c',  dc' += dm o (1 - tanh^2 c'),  di = dc' g,  df = dc' c,  dg = dc' i
    dc = dc' f,  dW_hr = sum_t dh'_t^T m_t
    """

    @staticmethod
    def forward(
        x: Tensor, states: Sequence[Tensor], parameters: Sequence[Tensor], reverse: bool
    ) -> tuple[Tensor, Sequence[Tensor], Any]:
        (h, c), (W_ih, W_hh, *b), W_hr = states, *_split(parameters)
        gates = linear(x, W_ih, b[0] + b[1] if b else None)
        kept: list[tuple[Tensor, ...]] = []
        for t in recurrent.order(x, reverse):
            c_before = c
            i_f, g, o = _activated(torch.addmm(gates[t], h, W_hh.t()))
            i, f = i_f.chunk(2, 1)
            c = (f * c).addcmul_(i, g)
            k = c.tanh()
            h = o * k if W_hr is None else (o * k) @ W_hr.t()
            kept.append((i_f, g, o, k, c_before, h))
        *kept_by_kind, y = zip(*kept[:: -1 if reverse else 1], strict=True)
        return pile(y), (h, c), kept_by_kind

    @staticmethod
    def vjp(run: Run, d_y: Tensor | None, d_last: Sequence[Tensor | None]) -> Gradients:
        i_f, g, o, k, c = (pile(tensors) for tensors in run.kept)
        i, f = i_f.chunk(2, -1)
        sigmoid_backward, tanh_backward = torch.ops.aten.sigmoid_backward, torch.ops.aten.tanh_backward
        by_c = (sigmoid_backward(g, i), sigmoid_backward(c, f), tanh_backward(i, g))
        # every factor of every time at once; the steps multiply into it what reaches them
        d_gates = torch.stack((*by_c, sigmoid_backward(k, o)), 2)
        h_to_c = tanh_backward(o, k)
        own, W_hr = _split(run.parameters)
        d_h, times = recurrent.arriving(d_y, run.order()[-1], d_last[0], run.y[0]), run.order()
        d_c = torch.zeros_like(k[0]) if d_last[1] is None else d_last[1]
        d_hs: list[Tensor] = []
        for t, before in zip(reversed(times), [*reversed(times[:-1]), None], strict=True):
            d_hs.append(d_h)
            d_m = d_h if W_hr is None else d_h @ W_hr
            d_c = torch.addcmul(d_c, d_m, h_to_c[t])
            d_gates[t][:, :3].mul_(d_c.unsqueeze(1))
            d_gates[t][:, 3].mul_(d_m)
            d_c.mul_(f[t])
            d_h = recurrent.carried(d_gates[t].flatten(1), own[1], d_y, before)
        d_x, d_parameters = recurrent.weighted(run._replace(parameters=own), d_gates.flatten(2))
        if W_hr is not None:
            by_time = pile(d_hs if run.reverse else d_hs[::-1])
            d_parameters.append(by_time.flatten(0, 1).t() @ (o * k).flatten(0, 1))
        return d_x, (d_h, d_c), d_parameters


class Fused(Cell):
    """The same steps by oneDNN's layer, which torch takes for float32 and bfloat16 on a CPU, and its own VJP."""

    @staticmethod
    def forward(
        x: Tensor, states: Sequence[Tensor], parameters: Sequence[Tensor], reverse: bool
    ) -> tuple[Tensor, Sequence[Tensor], Any]:
        told: tuple[Any, ...] = (reverse, [], MODE, parameters[1].shape[1], 1, True, False, False, True)
        with torch.enable_grad():  # else oneDNN does not keep what its VJP reads
            y, h, c, workspace = torch.ops.aten.mkldnn_rnn_layer(*_operands(x, states, parameters), *told)
        return y, (h, c), (h, c, workspace)

    @staticmethod
    def vjp(run: Run, d_y: Tensor | None, d_last: Sequence[Tensor | None]) -> Gradients:
        h, c, workspace = run.kept
        given = (None if d is None else d.contiguous() for d in (d_y, *d_last))
        d_x, d_W_ih, d_W_hh, d_b, _, d_h, d_c = torch.ops.aten.mkldnn_rnn_layer_backward(
            *_operands(run.x, run.states, run.parameters),
            *(run.y.contiguous(), h, c, *given),
            *(run.reverse, MODE, h.shape[1], 1, True, True, False, [], False, workspace),
        )
        return d_x, (d_h, d_c), [d_W_ih, d_W_hh, d_b, d_b][: len(run.parameters)]


@register_map("aten.lstm.input", when=recurrent.plain)
class LSTM(Map):
    """y, h_n, c_n = L layers of h_t, c_t = f(x_t, h_{t-1}, c_{t-1})   (T,N,I) (L,N,H) -> (T,N,H) (L,N,H) (L,N,H).
    dgates_t = df(dh_t, dc_t),  dh_{t-1} += dgates_t W_hh,  dW_ih = sum_t dgates_t^T x_t,  db = sum_t dgates_t
    """

    @staticmethod
    def forward(
        x: Tensor, states: Sequence[Tensor], parameters: Sequence[Tensor], **attributes: Any
    ) -> tuple[tuple[Tensor, ...], Any]:
        return recurrent.forward(_cell(x, states), x, states, parameters, attributes)

    @staticmethod
    def vjp(saved: Any, d_outputs: Sequence[Tensor | None]) -> tuple[Any, ...]:
        run: Run = saved[0][0][1][0]
        return recurrent.vjp(_cell(run.x, run.states), saved, d_outputs)


@register_map("aten.lstm.input", when=recurrent.dropped)
class DroppedLSTM(Map):
    """y, h_n, c_n = LSTM with m x in place of x before each layer but the first, m drawn as in dropout.
    dx = m d(m x), else as LSTM
    """

    random = True

    @staticmethod
    def forward(
        x: Tensor, states: Sequence[Tensor], parameters: Sequence[Tensor], generator: Generator, **attributes: Any
    ) -> tuple[tuple[Tensor, ...], Any]:
        return recurrent.forward(_cell(x, states), x, states, parameters, attributes, generator=generator)

    vjp = staticmethod(LSTM.vjp)


@register_map("aten.lstm_cell.default")
class LSTMStep(Map):
    """h', c' = f(x, h, c)   (N,I) (N,H) (N,H) -> (N,H) (N,H).
    dgates = df(dh', dc'),  dh = dgates W_hh,  dW_ih = dgates^T x,  db = dgates
    """

    @staticmethod
    def forward(x: Tensor, states: Sequence[Tensor], *parameters: Tensor | None) -> tuple[tuple[Tensor, ...], Any]:
        (h, c), run = recurrent.step(Steps, x, states, parameters)
        return (h, c), run

    @staticmethod
    def vjp(run: Run, d_outputs: Sequence[Tensor | None]) -> tuple[Any, ...]:
        d_x, d_states, d_parameters = recurrent.step_vjp(Steps, run, d_outputs)
        return d_x, d_states, *d_parameters


def _activated(gates: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    n = gates.shape[1] // 4
    return gates[:, : 2 * n].sigmoid(), gates[:, 2 * n : 3 * n].tanh(), gates[:, 3 * n :].sigmoid()


def _cell(x: Tensor, states: Sequence[Tensor]) -> type[Cell]:
    projected = states[0].shape[-1] != states[1].shape[-1]  # P is less than H
    fused = x.device.type == "cpu" and torch._C._has_mkldnn and not projected and _fusable(x.dtype)
    return Fused if fused else Steps


def _fusable(dtype: torch.dtype) -> bool:
    """Whether oneDNN has the layer, forward and backward, in this dtype on this CPU."""
    bf16 = dtype == torch.bfloat16 and torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return dtype == torch.float32 or bool(bf16)


def _split(parameters: Sequence[Tensor]) -> tuple[Sequence[Tensor], Tensor | None]:
    """The weights and biases of the gates, and the projection if there is one."""
    return (parameters[:-1], parameters[-1]) if len(parameters) % 2 else (parameters, None)


def _operands(x: Tensor, states: Sequence[Tensor], parameters: Sequence[Tensor]) -> list[Tensor]:
    W_ih, W_hh, *b = parameters
    b = b or [W_hh.new_zeros(W_hh.shape[0])] * 2
    return [x.contiguous(), W_ih, W_hh, *b, *(s.contiguous() for s in states)]
