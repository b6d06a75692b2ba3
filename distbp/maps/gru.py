"""Gated recurrent units (Cho et al. 2014): over time, by layers, and one step alone.

T time, N examples, I features in, H hidden, L layers times directions. Gates stand in torch's order r, z, n.
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


class Steps(Cell):
    """r, z = sigma(x W^T + h U^T + b);  m = h U_n^T + b_n,  n = tanh(x W_n^T + b + r m),  h' = (1 - z) n + z h.
    dn = dh' (1 - z) (1 - n^2),  dm = dn r,  dr = dn m r (1 - r),  dz = dh' (h - n) z (1 - z),  dh = dh' z + d(.) U
    """

    @staticmethod
    def forward(
        x: Tensor, states: Sequence[Tensor], parameters: Sequence[Tensor], reverse: bool
    ) -> tuple[Tensor, Sequence[Tensor], Any]:
        (h,), (W_ih, W_hh, *b) = states, parameters
        n_gates = 2 * h.shape[1]
        U_rz, U_n = W_hh[:n_gates].t(), W_hh[n_gates:].t()
        gates = linear(x, W_ih, torch.cat((b[0][:n_gates] + b[1][:n_gates], b[0][n_gates:])) if b else None)
        kept: list[tuple[Tensor, ...]] = []
        for t in recurrent.order(x, reverse):
            rz = torch.addmm(gates[t][:, :n_gates], h, U_rz).sigmoid_()
            r, z = rz.chunk(2, 1)
            m = torch.addmm(b[1][n_gates:], h, U_n) if b else h @ U_n
            n = torch.addcmul(gates[t][:, n_gates:], r, m).tanh_()
            h = torch.lerp(n, h, z)
            kept.append((rz, n, m, h))
        *kept_by_kind, y = zip(*kept[:: -1 if reverse else 1], strict=True)
        return pile(y), (h,), kept_by_kind

    @staticmethod
    def vjp(run: Run, d_y: Tensor | None, d_last: Sequence[Tensor | None]) -> Gradients:
        rz, n, m = (pile(tensors) for tensors in run.kept)
        r, z = rz.chunk(2, -1)
        sigmoid_backward = torch.ops.aten.sigmoid_backward
        d_n = torch.ops.aten.tanh_backward(1 - z, n)
        by_r, by_z = sigmoid_backward(d_n * m, r), sigmoid_backward(run.before() - n, z)
        # every factor of every time at once; the steps multiply into it what reaches them
        d_gates = torch.stack((by_r, by_z, d_n * r, d_n), 2)
        times = run.order()
        d_h = recurrent.arriving(d_y, times[-1], d_last[0], n[0])
        for t, before in zip(reversed(times), [*reversed(times[:-1]), None], strict=True):
            d_gates[t].mul_(d_h.unsqueeze(1))
            d_h = d_h * z[t] if d_y is None or before is None else torch.addcmul(d_y[before], d_h, z[t])
            d_h.addmm_(d_gates[t][:, :3].flatten(1), run.parameters[1])
        of_x = torch.cat((d_gates[:, :, :2], d_gates[:, :, 3:]), 2).flatten(2)
        d_x, d_parameters = recurrent.weighted(run, of_x, d_gates[:, :, :3].flatten(2))
        return d_x, (d_h,), d_parameters


@register_map("aten.gru.input", when=recurrent.plain)
class GRU(Map):
    """y, h_n = L layers of h_t = f(x_t, h_{t-1})   (T,N,I) (L,N,H) -> (T,N,H) (L,N,H).
    dgates_t = df(dh_t),  dh_{t-1} += dh_t z + dgates_t W_hh,  dW_ih = sum_t dgates_t^T x_t,  db = sum_t dgates_t
    """

    @staticmethod
    def forward(
        x: Tensor, h: Tensor, parameters: Sequence[Tensor], **attributes: Any
    ) -> tuple[tuple[Tensor, ...], Any]:
        return recurrent.forward(Steps, x, (h,), parameters, attributes)

    @staticmethod
    def vjp(saved: Any, d_outputs: Sequence[Tensor | None]) -> tuple[Any, ...]:
        d_x, (d_h,), d_parameters = recurrent.vjp(Steps, saved, d_outputs)
        return d_x, d_h, d_parameters


@register_map("aten.gru.input", when=recurrent.dropped)
class DroppedGRU(Map):
    """y, h_n = GRU with m x in place of x before each layer but the first, m drawn as in dropout.
    dx = m d(m x), else as GRU
    """

    random = True

    @staticmethod
    def forward(
        x: Tensor, h: Tensor, parameters: Sequence[Tensor], generator: Generator, **attributes: Any
    ) -> tuple[tuple[Tensor, ...], Any]:
        return recurrent.forward(Steps, x, (h,), parameters, attributes, generator=generator)

    vjp = staticmethod(GRU.vjp)


@register_map("aten.gru_cell.default")
class GRUStep(Map):
    """h' = f(x, h)   (N,I) (N,H) -> (N,H).
    dgates = df(dh'),  dh = dh' z + dgates W_hh,  dW_ih = dgates^T x,  db = dgates
    """

    @staticmethod
    def forward(x: Tensor, h: Tensor, *parameters: Tensor | None) -> tuple[Tensor, Any]:
        (h,), run = recurrent.step(Steps, x, (h,), parameters)
        return h, run

    @staticmethod
    def vjp(run: Run, d_h: Tensor) -> tuple[Any, ...]:
        d_x, (d_before,), d_parameters = recurrent.step_vjp(Steps, run, (d_h,))
        return d_x, d_before, *d_parameters
