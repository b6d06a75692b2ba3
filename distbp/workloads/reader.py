"""Two nets that read a text and tell its class: a recurrent one with attention, and a transformer's encoder.

N texts, T units of each, of which the first few are its own and the rest padding; C channels, H hidden, K classes.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from distbp.workloads.transformer import Block, initialise

DEVIATION = 0.1  # of the vectors of units that both nets begin with


class Recurrent(nn.Module):
    """GRUs from the first unit to the last and back, and of their states the mean that attention weighs.

    Yang et al. 2016, equations 5 to 7: ``u_t = tanh(W h_t + b)``, ``a = softmax(u_t . c)``, ``sum_t a_t h_t``.
    """

    def __init__(self, *, vocabulary: int, width: int, hidden: int, classes: int, dropout: float) -> None:
        super().__init__()
        self.token = nn.Embedding(vocabulary, width)
        self.dropout = nn.Dropout(dropout)
        self.onwards = nn.GRU(width, hidden, batch_first=True)
        self.back = nn.GRU(width, hidden, batch_first=True)
        self.key = nn.Linear(2 * hidden, 2 * hidden)
        self.context = nn.Linear(2 * hidden, 1, bias=False)
        self.head = nn.Linear(2 * hidden, classes)

    def forward(self, units: Tensor, lengths: Tensor) -> Tensor:
        """The scores of the classes.   (N, T), (N) int64 -> (N, K)."""
        x = self.dropout(self.token(units))
        turned = backwards(lengths, units.shape[1])
        there, _ = self.onwards(x)
        back, _ = self.back(reordered(x, turned))
        h = torch.cat([there, reordered(back, turned)], dim=2)
        weights = self.context(torch.tanh(self.key(h))).squeeze(2)
        weights = weights.masked_fill(~within(lengths, units.shape[1]), -torch.inf).softmax(dim=1)
        read = (weights.unsqueeze(1) @ h).squeeze(1)
        scores: Tensor = self.head(self.dropout(read))
        return scores


class Encoder(nn.Module):
    """A transformer's encoder (Vaswani et al. 2017), layer norm first; the mean of what it makes of the units.

    Each unit reads its neighbours before it attends to all others: ``x + GELU(convolution of 3 units)``. From them it
    has the order of the units, in the place of positions (Chu et al. 2021, conditional positional encodings).
    """

    def __init__(self, *, vocabulary: int, width: int, heads: int, layers: int, classes: int, dropout: float) -> None:
        super().__init__()
        self.token = nn.Embedding(vocabulary, width)
        self.whole = nn.Dropout1d(dropout)
        self.dropout = nn.Dropout(dropout)
        self.neighbours = nn.Conv1d(width, width, 3, padding=1)
        self.blocks = nn.ModuleList(Block(width, heads, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, classes)

    def forward(self, units: Tensor, lengths: Tensor) -> Tensor:
        """The scores of the classes.   (N, T), (N) int64 -> (N, K)."""
        own = within(lengths, units.shape[1])
        kept = own.unsqueeze(2)
        x = self.whole(self.token(units)) * kept  # all of a unit's channels or none; padding is zeros
        x = x + F.gelu(self.neighbours(x.transpose(1, 2)), approximate="tanh").transpose(1, 2)
        for block in self.blocks:
            x = block(x, own[:, None, None, :])
        read = (self.norm(x) * kept).sum(dim=1) / lengths.unsqueeze(1)
        scores: Tensor = self.head(self.dropout(read))
        return scores


def within(lengths: Tensor, longest: int) -> Tensor:
    """Which units are a text's own.   (N) -> (N, T) bool."""
    return torch.arange(longest, device=lengths.device) < lengths.unsqueeze(1)


def backwards(lengths: Tensor, longest: int) -> Tensor:
    """The places of each text's units from its last to its first, the padding where it was.   (N) -> (N, T) int64."""
    places = torch.arange(longest, device=lengths.device)
    return torch.where(within(lengths, longest), lengths.unsqueeze(1) - 1 - places, places)


def reordered(x: Tensor, places: Tensor) -> Tensor:
    """``y[n, t] = x[n, places[n, t]]``.   (N, T, C), (N, T) -> (N, T, C)."""
    return x.gather(1, places.unsqueeze(2).expand_as(x))


@torch.no_grad()
def initialise_recurrent(module: Recurrent, generator: torch.Generator) -> None:
    """Units ``N(0, 0.1^2)``; all else ``U(-1 / sqrt(H), 1 / sqrt(H))``, as torch's own GRU begins."""
    bound = module.onwards.hidden_size**-0.5
    for parameter in module.parameters():
        parameter.uniform_(-bound, bound, generator=generator)
    module.token.weight.normal_(0.0, DEVIATION, generator=generator)


@torch.no_grad()
def initialise_encoder(module: Encoder, generator: torch.Generator) -> None:
    """Units ``N(0, 0.1^2)``, the convolution ``U(-1 / sqrt(3 C), 1 / sqrt(3 C))``, all else as transformers begin."""
    initialise(module, generator)
    module.token.weight.normal_(0.0, DEVIATION, generator=generator)
    bound = module.neighbours.weight[0].numel() ** -0.5
    for parameter in module.neighbours.parameters():
        parameter.uniform_(-bound, bound, generator=generator)
