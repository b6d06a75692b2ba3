"""A recurrent network that reads a text from left to right and carries its state on (Zaremba et al. 2014).

N streams, T units of a segment, L layers, C channels, V units in all.
"""

import torch
from torch import Tensor, nn

from distbp.data.part import State


class WideLSTM(nn.LSTM):
    """An LSTM that computes in float32 under autocast, too: torch's bfloat16 LSTM on a CPU hardly learns."""

    def forward(self, x: Tensor, before: tuple[Tensor, Tensor]) -> tuple[Tensor, State]:  # type: ignore[override]
        """As ``nn.LSTM``, given the state; both are float32."""
        with torch.autocast(x.device.type, enabled=False):
            made: tuple[Tensor, State] = super().forward(x, before)
        return made


class Recurrent(nn.Module):
    """Units embedded, L layers of an LSTM, and scores of the next unit.   (N, T) int64, state -> (N, T, V), state.

    The state is h and c of every layer after the last unit, each (N, L, C). Dropout stands before, between and after
    the layers, never on the way from unit to unit (Zaremba et al. 2014, equation 4). The LSTM computes in float32 in
    whatever precision; the scores do not.
    """

    def __init__(self, *, vocabulary: int, width: int, layers: int, dropout: float = 0.0, tied: bool = False) -> None:
        super().__init__()
        self.token = nn.Embedding(vocabulary, width)
        self.dropout = nn.Dropout(dropout)
        between = dropout if layers > 1 else 0.0
        self.lstm = WideLSTM(width, width, num_layers=layers, dropout=between, batch_first=True)
        self.head = nn.Linear(width, vocabulary)
        if tied:
            self.head.weight = self.token.weight

    def forward(self, units: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, State]:
        """The scores of the unit after each unit, and the state to go on with."""
        before = (h.transpose(0, 1).contiguous(), c.transpose(0, 1).contiguous())
        y, (h, c) = self.lstm(self.dropout(self.token(units)), before)
        return self.head(self.dropout(y)), (h.transpose(0, 1), c.transpose(0, 1))

    def begin(self, streams: int) -> State:
        """Zeros: the state of streams of which nothing has been read."""
        zeros = self.token.weight.new_zeros(streams, self.lstm.num_layers, self.lstm.hidden_size)
        return zeros, zeros.clone()

    @torch.no_grad()
    def initialise(self, generator: torch.Generator, spread: float) -> None:
        """Weights are uniform in [-spread, spread] (Zaremba et al. 2014, section 4.1), biases are 0."""
        for parameter in self.parameters():
            if parameter.dim() > 1:
                parameter.uniform_(-spread, spread, generator=generator)
            else:
                parameter.zero_()
