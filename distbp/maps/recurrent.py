"""Recurrent layers, one on another and in both directions of time: what LSTM, GRU and RNN share.

T time, N examples, I features in, H hidden, L layers times directions.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import torch
from torch import Generator, Tensor

from distbp.maps.dropout import Dropout

Gradients = tuple[Tensor, Sequence[Tensor], Sequence[Tensor]]
"""Of the input, of each initial state, of each parameter."""


class Run(NamedTuple):
    """One layer in one direction, with what its backward pass will read."""

    x: Tensor  # (T,N,I)
    y: Tensor  # (T,N,H)
    states: Sequence[Tensor]  # before the first step, each (N,H)
    parameters: Sequence[Tensor]  # W_ih, W_hh, if there are biases b_ih, b_hh, and what the cell has besides
    reverse: bool
    kept: Any

    def order(self) -> list[int]:
        """The times, as the run goes through them."""
        return order(self.x, self.reverse)

    def before(self) -> Tensor:
        """h before each time   (T,N,H)."""
        h = self.states[0].unsqueeze(0)
        if len(self.y) == 1:
            return h
        return torch.cat((self.y[1:], h) if self.reverse else (h, self.y[:-1]))


class Cell(Protocol):
    """``h_t = f(x_t, h_{t-1})`` over all times of one run, and its VJP."""

    @staticmethod
    def forward(
        x: Tensor, states: Sequence[Tensor], parameters: Sequence[Tensor], reverse: bool
    ) -> tuple[Tensor, Sequence[Tensor], Any]:
        """``y`` (T,N,H), the states after the last step, each (N,H), and what to keep."""

    @staticmethod
    def vjp(run: Run, d_y: Tensor | None, d_last: Sequence[Tensor | None]) -> Gradients:
        """The gradients, given those of y and of the last states."""


def forward(
    cell: type[Cell],
    x: Tensor,
    states: Sequence[Tensor],
    parameters: Sequence[Tensor],
    attributes: Mapping[str, Any],
    *,
    generator: Generator | None = None,
) -> tuple[tuple[Tensor, ...], Any]:
    """``(y, h_n, ...)`` of the whole stack; with a generator, dropout between the layers."""
    directions = 2 if attributes["bidirectional"] else 1
    each = len(parameters) // len(states[0])  # of one layer in one direction
    y = x.transpose(0, 1).contiguous() if attributes["batch_first"] else x
    last: list[Sequence[Tensor]] = []
    layers: list[tuple[Tensor | None, list[Run]]] = []
    for layer in range(attributes["num_layers"]):
        x, mask = y, None
        if layer and generator is not None:
            x, mask = Dropout.forward(y, attributes["dropout"], True, generator)
        formed, runs = [], []
        for i in range(layer * directions, (layer + 1) * directions):
            h, own = [s[i] for s in states], parameters[i * each : (i + 1) * each]
            y, ended, kept = cell.forward(x, h, own, i % directions == 1)
            formed.append(y)
            last.append(ended)
            runs.append(Run(x, y, h, own, i % directions == 1, kept))
        if directions == 2:
            y = torch.cat(formed, -1)  # which is kept in place of its halves
            runs = [run._replace(y=half) for run, half in zip(runs, y.chunk(2, -1), strict=True)]
        layers.append((mask, runs))
    if attributes["batch_first"]:
        y = y.transpose(0, 1)
    return (y, *(pile(h) for h in zip(*last, strict=True))), (layers, attributes["batch_first"])


def vjp(cell: type[Cell], saved: Any, d_outputs: Sequence[Tensor | None]) -> Gradients:
    """The gradients of x (T,N,I), of the initial states, each (L,N,H), and of the parameters."""
    layers, batch_first = saved
    d_y, *d_last = d_outputs
    if batch_first and d_y is not None:
        d_y = d_y.transpose(0, 1)
    d_states: list[Sequence[Tensor]] = []
    d_parameters: list[Tensor] = []
    i = sum(len(runs) for _, runs in layers)
    for mask, runs in reversed(layers):
        i -= len(runs)
        halves = [None] * len(runs) if d_y is None else d_y.chunk(len(runs), -1)
        ends = [[None if d is None else d[i + k] for d in d_last] for k in range(len(runs))]
        pulled = [cell.vjp(*given) for given in zip(runs, halves, ends, strict=True)]
        d_y = pulled[0][0] if len(pulled) == 1 else pulled[0][0] + pulled[1][0]
        d_y = d_y if mask is None else d_y * mask
        d_states[:0] = [d for _, d, _ in pulled]
        d_parameters[:0] = [d for _, _, own in pulled for d in own]
    assert d_y is not None
    d_x = d_y.transpose(0, 1) if batch_first else d_y
    return d_x, tuple(pile(d) for d in zip(*d_states, strict=True)), tuple(d_parameters)


def plain(_inputs: Sequence[Any], given: Mapping[str, Any]) -> bool:
    """Whether the layers have no dropout between them."""
    return not _between(given)


def dropped(_inputs: Sequence[Any], given: Mapping[str, Any]) -> bool:
    """Whether the layers have dropout between them that keeps something."""
    return _between(given) and bool(given["dropout"] < 1)


def _between(given: Mapping[str, Any]) -> bool:
    return bool(given["dropout"] > 0 and given["train"] and given["num_layers"] > 1)


def step(
    cell: type[Cell], x: Tensor, states: Sequence[Tensor], parameters: Sequence[Tensor | None]
) -> tuple[Sequence[Tensor], Run]:
    """The states after one step   (N,I) (N,H) -> (N,H)."""
    own = [p for p in parameters if p is not None]
    y, ended, kept = cell.forward(x.unsqueeze(0), states, own, False)
    return ended, Run(x.unsqueeze(0), y, states, own, False, kept)


def step_vjp(
    cell: type[Cell], run: Run, d_last: Sequence[Tensor | None]
) -> tuple[Tensor, Sequence[Tensor], Sequence[Tensor | None]]:
    """The gradients of one step, with None for biases that are absent."""
    d_x, d_states, d_own = cell.vjp(run, None, d_last)
    return d_x.squeeze(0), tuple(d_states), (*d_own, None, None)[:4]


def order(x: Tensor, reverse: bool) -> list[int]:
    """The times of x (T,N,I), the last first if ``reverse``."""
    return list(range(len(x)))[:: -1 if reverse else 1]


def pile(tensors: Sequence[Tensor]) -> Tensor:
    """The tensors along a new first dimension, without a copy where there is one."""
    return tensors[0].unsqueeze(0) if len(tensors) == 1 else torch.stack(tuple(tensors))


def arriving(d_y: Tensor | None, t: int, d_h: Tensor | None, like: Tensor) -> Tensor:
    """What reaches h after the last step, at time t: by the output and by the last state."""
    if d_y is None:
        return torch.zeros_like(like) if d_h is None else d_h
    return d_y[t] if d_h is None else d_y[t] + d_h


def carried(d_gates: Tensor, W_hh: Tensor, d_y: Tensor | None, before: int | None) -> Tensor:
    """What reaches h one step earlier: by the gates and, where that step has an output, by it."""
    if d_y is None or before is None:
        return d_gates @ W_hh
    return torch.addmm(d_y[before], d_gates, W_hh)


def weighted(run: Run, d_gates: Tensor, d_recurrent: Tensor | None = None) -> tuple[Tensor, list[Tensor]]:
    """dx and the parameters' gradients of ``x W_ih^T + b_ih`` and ``h W_hh^T + b_hh``, all times in one product each.

    The second sum's cotangents are ``d_recurrent`` where they are not those of the first, both (T,N,gates).
    """
    rows = d_gates.flatten(0, 1)
    other = rows if d_recurrent is None else d_recurrent.flatten(0, 1)
    gradients = [rows.t() @ run.x.flatten(0, 1), other.t() @ run.before().flatten(0, 1)]
    if len(run.parameters) > 2:
        d_b = rows.sum(0)
        gradients += [d_b, d_b if d_recurrent is None else other.sum(0)]
    return (rows @ run.parameters[0]).view(run.x.shape), gradients
