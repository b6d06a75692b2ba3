"""Recurrent layers and cells. T time, N examples, I features in, O hidden."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Generator, Tensor

from distbp.maps import gru, lstm, rnn
from distbp.maps.base import Map
from tests.maps.case import Case, Draw, Sizes

GATES = {"lstm": 4, "gru": 3, "rnn_tanh": 1, "rnn_relu": 1}
LAYERS: dict[str, tuple[type[Map], type[Map]]] = {
    "lstm": (lstm.LSTM, lstm.DroppedLSTM),
    "gru": (gru.GRU, gru.DroppedGRU),
    "rnn_tanh": (rnn.TanhRNN, rnn.DroppedTanhRNN),
    "rnn_relu": (rnn.ReluRNN, rnn.DroppedReluRNN),
}
CELLS: dict[str, type[Map]] = {
    "lstm_cell": lstm.LSTMStep,
    "gru_cell": gru.GRUStep,
    "rnn_tanh_cell": rnn.TanhStep,
    "rnn_relu_cell": rnn.ReluStep,
}
PLAIN = {"has_biases": True, "num_layers": 1, "dropout": 0.0, "train": True, "bidirectional": False}
DEEP = {"num_layers": 2, "bidirectional": True}


def normal(*shape: str | int, scale: float = 1.0, shift: float = 0.0) -> Draw:
    """Normal numbers; a letter is a size, "4O" a multiple of one."""

    def draw(sizes: Sizes, generator: Generator) -> Tensor:
        dims = [n if isinstance(n, int) else int(n[:-1] or 1) * sizes[n[-1]] for n in shape]
        return shift + scale * torch.randn(dims, generator=generator, dtype=torch.float64)

    return draw


def weights(op: str, layers: int, directions: int, biases: bool) -> tuple[Draw, ...]:
    """Of every layer and direction W_ih, W_hh and, with biases, b_ih, b_hh."""
    hidden = f"{GATES[op]}O"
    shift = 1.0 if op == "rnn_relu" else 0.0  # keeps most units alive
    return tuple(
        weight
        for layer in range(layers)
        for _ in range(directions)
        for weight in (
            normal(hidden, f"{directions}O" if layer else "I", scale=0.4),
            normal(hidden, "O", scale=0.4),
            *((normal(hidden, scale=0.4, shift=shift), normal(hidden, scale=0.4)) if biases else ()),
        )
    )


def layers(op: str, *, batch_first: bool = False, **given: Any) -> Case:
    told = {**PLAIN, **given, "batch_first": batch_first}
    directions = 2 if told["bidirectional"] else 1
    h = normal(directions * told["num_layers"], "N", "O")
    x = "NTI" if batch_first else "TNI"
    parameters = weights(op, told["num_layers"], directions, told["has_biases"])
    rule = LAYERS[op][told["dropout"] > 0 and told["train"] and told["num_layers"] > 1]
    return Case(f"aten.{op}.input", rule, (x, (h, h) if op == "lstm" else h, parameters), told)


def projected(*, biases: bool, rule: type[Map] = lstm.LSTM, **given: Any) -> Case:
    """An LSTM whose hidden states, (N, 1), are projections."""
    told = {**PLAIN, "has_biases": biases, "batch_first": False, **given}
    directions = 2 if told["bidirectional"] else 1
    runs = directions * told["num_layers"]
    parameters = tuple(
        weight
        for run in range(runs)
        for weight in (
            normal("4O", directions if run >= directions else "I", scale=0.4),
            normal("4O", 1, scale=0.4),
            *((normal("4O", scale=0.4),) * 2 if biases else ()),
            normal(1, "O"),
        )
    )
    states = normal(runs, "N", 1), normal(runs, "N", "O")
    return Case("aten.lstm.input", rule, ("TNI", states, parameters), told, {"O": 3})


def cell(op: str, *, biases: bool) -> Case:
    hidden = f"{GATES[op.removesuffix('_cell')]}O"
    h = ("NO", "NO") if op == "lstm_cell" else "NO"
    b = (normal(hidden, scale=0.4), normal(hidden, scale=0.4)) if biases else ("-", "-")
    W = normal(hidden, "I", scale=0.4), normal(hidden, "O", scale=0.4)  # of larger ones, tanh is flat
    return Case(f"aten.{op}.default", CELLS[op], ("NI", h, *W, *b))


def cases() -> Iterator[Case]:
    for op in LAYERS:
        yield layers(op)
        yield layers(op, has_biases=False)
        yield layers(op, batch_first=True)
        yield layers(op, bidirectional=True)
        yield layers(op, num_layers=3, train=False)
        yield layers(op, **DEEP, batch_first=True, has_biases=False)
        yield layers(op, num_layers=2, dropout=0.4)
        yield layers(op, **DEEP, dropout=0.4, batch_first=True)
        yield layers(op, **DEEP, dropout=0.4, train=False)
        yield layers(op, dropout=0.4)
    yield projected(biases=True)
    yield projected(biases=False)
    yield projected(biases=True, **DEEP)
    yield projected(biases=True, **DEEP, dropout=0.4, rule=lstm.DroppedLSTM)
    for op in CELLS:
        yield cell(op, biases=True)
        yield cell(op, biases=False)


CASES = list(cases())
